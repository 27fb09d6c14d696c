"""Encode and decode a whole clip in one pass with the parameters of an `AutoencoderKLWan`.

The autoencoder's own `encode` and `decode` walk through a clip four frames at a time and carry feature caches,
which makes small convolutions and cannot be compiled. The functions here give the same numbers in one pass
over all frames, because a cached causal convolution is the causal convolution of the whole sequence. What
differs are the two temporal resampling layers, where the first frame goes a way of its own.
"""

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, patchify, unpatchify
from torch import Tensor


def encode_moments(vae: Any, video_BCFHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a clip's latents.

    Args:
        vae: the `AutoencoderKLWan` whose parameters are used.
        video_BCFHW: pixels in -1..1, with 1 + 4n frames.

    Returns:
        Mean and log-variance of (batch, channels, 1 + n, height/8, width/8), not normalised.
    """
    encoder = vae.encoder
    x = encoder.conv_in(patchify(video_BCFHW, vae.config.patch_size))
    for layer in encoder.down_blocks:
        x = _downsample(layer, x) if isinstance(layer, WanResample) else layer(x)
    x = encoder.mid_block(x)
    x = encoder.conv_out(encoder.nonlinearity(encoder.norm_out(x)))
    mean, log_variance = vae.quant_conv(x).chunk(2, dim=1)
    return mean, log_variance.clamp(-30.0, 20.0)


def decode_latents(vae: Any, latents_BCFHW: Tensor) -> Tensor:
    """Pixels of a clip from its (not normalised) latents, not clamped to -1..1."""
    decoder = vae.decoder
    x = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latents_BCFHW)))
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            x = resnet(x)
        for layer in block.upsamplers or ():
            x = _upsample(layer, x)
    x = decoder.conv_out(decoder.nonlinearity(decoder.norm_out(x)))
    pixels: Tensor = unpatchify(x, vae.config.patch_size)
    return pixels


def _downsample(layer: Any, x_BCFHW: Tensor) -> Tensor:
    x = _per_frame(layer.resample, x_BCFHW)
    if layer.mode != "downsample3d":
        return x
    return torch.cat([x[:, :, :1], layer.time_conv(x)], dim=2)


def _upsample(layer: Any, x_BCFHW: Tensor) -> Tensor:
    if layer.mode == "upsample3d":
        batch, channels, frames, height, width = x_BCFHW.shape
        pairs = layer.time_conv(x_BCFHW[:, :, 1:]).unflatten(1, (2, channels))
        later = pairs.transpose(1, 2).transpose(2, 3).reshape(batch, channels, 2 * (frames - 1), height, width)
        x_BCFHW = torch.cat([x_BCFHW[:, :, :1], later], dim=2)
    return _per_frame(layer.resample, x_BCFHW)


def _per_frame(layer: Any, x_BCFHW: Tensor) -> Tensor:
    """Apply an image layer to every frame."""
    batch = x_BCFHW.shape[0]
    images = layer(x_BCFHW.transpose(1, 2).flatten(0, 1))
    result: Tensor = images.unflatten(0, (batch, -1)).transpose(1, 2)
    return result
