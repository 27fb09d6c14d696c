"""Train the autoencoder: most of the time on windows around the object's outline, at last on whole clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from tiny_wan.architecture import HEIGHT, build_autoencoder
from tiny_wan.dataset import TRAINING_SEED, draw_clip, draw_window
from tiny_wan.sequence_vae import decode_latents, encode_moments
from tiny_wan.shapes import Window
from tiny_wan.training import Budget, Moment, Trainer

STATE_FILE: Final = "autoencoder.pt"
KL_WEIGHT: Final = 2e-4
_WINDOW_STREAM: Final = 1
"""Third seed word of the generator that places windows, so that it never shares numbers with the clips."""


@dataclass(kw_only=True, slots=True)
class AutoencoderSettings:
    """How the autoencoder is trained."""

    window: int = 48
    """Side of the windows in pixels."""
    window_batch: int = 4
    """Windows per worker and step."""
    clip_batch: int = 1
    """Whole clips per worker and step."""
    whole_after: float = 0.75
    """Part of the budget after which whole clips are used: borders and attention over the whole picture."""
    muon_rate: float = 0.03
    adam_rate: float = 8e-3
    compile: bool = True
    """Compile the forward pass: a minute at the start for steps that take two thirds of the time."""


class AutoencoderTask:
    """An autoencoder with its data and its loss."""

    ema_decay = 0.998

    def __init__(self, settings: AutoencoderSettings) -> None:
        self.settings = settings
        self.vae = build_autoencoder()
        _channels_last(self.vae)
        ends = [self.vae.encoder.conv_in.weight, self.vae.decoder.conv_out.weight]
        self.matrices: list[nn.Parameter] = []
        self.others: list[nn.Parameter] = []
        for p in self.vae.parameters():
            inner = p.ndim >= 4 and p.shape[1] > 1 and not any(p is end for end in ends)
            (self.matrices if inner else self.others).append(p)
        self.muon_rate, self.adam_rate = settings.muon_rate, settings.adam_rate
        self._forward = torch.compile(self.reconstruct, dynamic=False) if settings.compile else self.reconstruct

    def reconstruct(self, video_BCFHW: Tensor, noise_BCFHW: Tensor) -> tuple[Tensor, Tensor]:
        """Clips through the autoencoder, and the mean KL divergence of their latents from a unit normal."""
        mean, log_variance = encode_moments(self.vae, video_BCFHW)
        mean, log_variance = mean.float(), log_variance.float()
        latents = mean + noise_BCFHW * torch.exp(0.5 * log_variance)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        return decode_latents(self.vae, latents), divergence

    def loss(self, moment: Moment) -> Tensor:
        """Reconstruction loss of this step's windows or whole clips."""
        whole = moment.progress >= self.settings.whole_after
        batch = self.settings.clip_batch if whole else self.settings.window_batch
        video = clip_batch(moment.indices(batch), None if whole else self.settings.window)
        frames, height, width = 1 + (video.shape[2] - 1) // 4, video.shape[3] // 8, video.shape[4] // 8
        noise = torch.randn(batch, self.vae.config.z_dim, frames, height, width)
        with torch.autocast("cpu", torch.bfloat16):
            pixels, divergence = self._forward(video, noise)
        return reconstruction_loss(pixels.float(), video) + KL_WEIGHT * divergence


def clip_batch(indices: range, window: int | None) -> Tensor:
    """Training clips of these numbers, whole or as windows.

    Returns:
        Pixels in -1..1, (batch, 3, frames, side, side), channels last in memory.
    """
    videos = []
    for index in indices:
        clip = draw_clip(TRAINING_SEED, index)
        rng = np.random.default_rng([TRAINING_SEED, index, _WINDOW_STREAM])
        videos.append(clip.frames(draw_window(clip, window, rng) if window else Window(side=HEIGHT)))
    video_BFHWC = torch.from_numpy(np.stack(videos))
    return video_BFHWC.mul_(2.0).sub_(1.0).movedim(-1, 1)


def reconstruction_loss(pixels: Tensor, video: Tensor) -> Tensor:
    """Absolute and squared error of the pixels, and absolute error of their differences in space."""
    error = pixels - video
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + error.square().mean() + across + down


def train_autoencoder(settings: AutoencoderSettings, budget: Budget, folder: Path) -> None:
    """Train in this worker, resuming from and saving to `folder`."""
    Trainer(AutoencoderTask(settings), budget, folder / STATE_FILE).run()


def _channels_last(module: Any) -> None:
    """Lay convolution weights out as the matrix units of CPUs like them."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last_3d)
        elif isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last)
