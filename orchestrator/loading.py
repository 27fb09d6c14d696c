"""Load a model's parts straight to the device and dtype they are used in."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from transformers import AutoTokenizer, UMT5EncoderModel

from orchestrator.model_folder import autoencoder_config
from orchestrator.text import TextEncoder
from parallel.sharded_blocks import load_sharded


def load_transformer(folder: Path, *, device: torch.device, dtype: torch.dtype) -> WanTransformer3DModel:
    """The denoiser, ready for inference.

    It is built on the meta device and each tensor goes from the file to `device` in its final dtype (accelerate does
    both, through `device_map`), so that 28 GB never stand in host memory. The few parts that diffusers keeps in
    float32 stay so.
    """
    transformer = WanTransformer3DModel.from_pretrained(
        folder,
        subfolder="transformer",
        torch_dtype=dtype,
        device_map={"": device},
        low_cpu_mem_usage=True,
        local_files_only=True,
    )
    return transformer.eval().requires_grad_(False)


def load_sharded_transformer(
    folder: Path, *, device: torch.device, dtype: torch.dtype, world_size: int
) -> WanTransformer3DModel:
    """The denoiser with its blocks sharded over the ranks of the default process group."""
    return load_sharded(
        WanTransformer3DModel, folder / "transformer", device=device, dtype=dtype, world_size=world_size
    )


def load_vae(folder: Path, *, device: torch.device) -> AutoencoderKLWan:
    """The autoencoder, in float32: its decoder loses visible detail in bfloat16."""
    vae = AutoencoderKLWan.from_pretrained(
        folder,
        subfolder="vae",
        torch_dtype=torch.float32,
        device_map={"": device},
        low_cpu_mem_usage=True,
        local_files_only=True,
    )
    return vae.eval().requires_grad_(False)


def load_text_encoder(
    folder: Path, *, device: torch.device, dtype: torch.dtype, max_sequence_length: int
) -> TextEncoder:
    """The tokenizer and text encoder."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = UMT5EncoderModel.from_pretrained(
        folder / "text_encoder", dtype=dtype, device_map={"": device}, local_files_only=True
    )
    encoder.eval().requires_grad_(False)
    return TextEncoder(tokenizer, encoder, max_sequence_length=max_sequence_length)


def load_scheduler(folder: Path) -> UniPCMultistepScheduler:
    """The solver's settings."""
    return UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)


def vae_scales(folder: Path) -> tuple[int, int]:
    """(pixels, frames) behind one latent, from the autoencoder's configuration: ranks without it need them too."""
    config = autoencoder_config(folder)
    return int(config.get("scale_factor_spatial", 8)), int(config.get("scale_factor_temporal", 4))
