"""The training clips as latents, encoded once, and the statistics that normalise them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor

from tiny_wan import state
from tiny_wan.architecture import HEIGHT, LATENT_SHAPE
from tiny_wan.dataset import TRAINING_SEED, draw_clip
from tiny_wan.sequence_vae import encode_moments
from tiny_wan.train_autoencoder import STATE_FILE as AUTOENCODER_FILE
from tiny_wan.train_autoencoder import AutoencoderSettings, AutoencoderTask
from tiny_wan.training import load_average

STATE_FILE: Final = "latents.pt"
ENCODE_BATCH: Final = 8
STD_FLOOR: Final = 0.1
"""Part of the largest channel's deviation below which a channel counts as unused, and is not blown up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Latents:
    """Encoded training clips; clip i of the training set is row i."""

    latents: Tensor
    """(clips, 16, 5, 12, 12), normalised to about unit variance per channel, float16."""
    mean: Tensor
    """(16,)"""
    std: Tensor
    """(16,)"""
    autoencoder_steps: int


def trained_autoencoder(folder: Path) -> tuple[Any, int]:
    """The autoencoder of a state folder with its averaged weights, and the steps it was trained for."""
    task = AutoencoderTask(AutoencoderSettings(compile=False))
    steps = load_average(task, folder / AUTOENCODER_FILE)
    return task.vae.eval(), steps


def encode_clips(folder: Path, num_clips: int) -> None:
    """Encode the first `num_clips` training clips with the trained autoencoder, in every worker its share.

    Does nothing where the state folder already holds enough clips of this very autoencoder.
    """
    vae, steps = trained_autoencoder(folder)
    done = load_latents(folder)
    if done and done.autoencoder_steps == steps and len(done.latents) >= num_clips:
        return
    rank = dist.get_rank() if dist.is_initialized() else 0
    num_workers = dist.get_world_size() if dist.is_initialized() else 1
    latents = torch.zeros(num_clips, *LATENT_SHAPE)
    for first in range(rank * ENCODE_BATCH, num_clips, num_workers * ENCODE_BATCH):
        indices = range(first, min(first + ENCODE_BATCH, num_clips))
        latents[first : indices.stop] = encode_batch(vae, indices)
    if num_workers > 1:
        dist.all_reduce(latents)
    if rank == 0:
        _save(folder, latents, steps)


@torch.no_grad()
def encode_batch(vae: Any, indices: range, seed: int = TRAINING_SEED) -> Tensor:
    """Latents' means of whole clips, (batch, 16, 5, 12, 12), not normalised."""
    frames = [torch.from_numpy(draw_clip(seed, index).frames()) for index in indices]
    video = torch.stack(frames).mul_(2.0).sub_(1.0).movedim(-1, 1)
    assert video.shape[-1] == HEIGHT
    with torch.autocast("cpu", torch.bfloat16):
        return encode_moments(vae, video)[0].float()


def _save(folder: Path, latents: Tensor, steps: int) -> None:
    mean = latents.mean(dim=(0, 2, 3, 4))
    std = latents.std(dim=(0, 2, 3, 4))
    std = std.clamp_min(STD_FLOOR * float(std.max()))
    shape = (1, -1, 1, 1, 1)
    normalised = ((latents - mean.view(shape)) / std.view(shape)).half()
    values = {"latents": normalised, "mean": mean, "std": std, "autoencoder_steps": steps}
    state.save(folder / STATE_FILE, values)


def load_latents(folder: Path) -> Latents | None:
    """The encoded clips of a state folder; None where there are none yet."""
    values = state.load(folder / STATE_FILE)
    if values is None:
        return None
    return Latents(
        latents=values["latents"],
        mean=values["mean"],
        std=values["std"],
        autoencoder_steps=values["autoencoder_steps"],
    )
