"""The decode stage: latents become frames, as WanPipeline makes them."""

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.video_processor import VideoProcessor
from numpy.typing import NDArray


@torch.no_grad()
def decode_latents(vae: AutoencoderKLWan, latents_BCFHW: torch.Tensor, *, tiling: bool = False) -> NDArray[np.uint8]:
    """Frames of one video.

    Args:
        vae: with the mean and deviation of its latents in its configuration.
        latents_BCFHW: one video's normalised latents, (1, C, F, H, W).
        tiling: decode overlapping tiles of 256 pixels one by one and blend them. Memory no longer grows with height
            and width; pixels near the tiles' edges change.

    Returns:
        (frames, height, width, 3), 0 to 255.
    """
    vae.enable_tiling() if tiling else vae.disable_tiling()
    latents = latents_BCFHW.to(vae.device, vae.dtype)
    mean, deviation = (
        torch.tensor(values).view(1, vae.config.z_dim, 1, 1, 1).to(latents.device, latents.dtype)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    # Divided by the inverse, as the pipeline does: a product would round differently.
    video = vae.decode(latents / (1.0 / deviation) + mean, return_dict=False)[0]
    processor = VideoProcessor(vae_scale_factor=vae.config.scale_factor_spatial)
    frames = processor.postprocess_video(video, output_type="np")[0]
    rounded: NDArray[np.uint8] = (frames * 255).round().astype(np.uint8)
    return rounded
