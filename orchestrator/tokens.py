"""Latents as tokens: the order of values is that of the transformer's output projection.

Shapes: latents (batch B, channels C, latent frames F, height H, width W); tokens (B, S, D) with patches of
pf × ph × pw, S = F/pf · H/ph · W/pw and D = pf·ph·pw·C, 64 for Wan2.1.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentShape:
    """Shape of one video's latents, and of the patches that make a token."""

    channels: int
    frames: int
    height: int
    width: int
    patch: tuple[int, int, int]

    @property
    def num_tokens(self) -> int:
        """Tokens of the whole video."""
        frames, height, width = self._grid
        return frames * height * width

    @property
    def _grid(self) -> tuple[int, int, int]:
        patch_frames, patch_height, patch_width = self.patch
        return self.frames // patch_frames, self.height // patch_height, self.width // patch_width

    def to_tokens(self, latents_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, F, H, W) → (B, S, D)."""
        (frames, height, width), (pf, ph, pw) = self._grid, self.patch
        batch = latents_BCFHW.shape[0]
        split = latents_BCFHW.reshape(batch, self.channels, frames, pf, height, ph, width, pw)
        return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, self.num_tokens, -1)

    def to_latents(self, tokens_BSD: torch.Tensor) -> torch.Tensor:
        """(B, S, D) → (B, C, F, H, W)."""
        (frames, height, width), (pf, ph, pw) = self._grid, self.patch
        batch = tokens_BSD.shape[0]
        split = tokens_BSD.reshape(batch, frames, height, width, pf, ph, pw, self.channels)
        joined = split.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return joined.reshape(batch, self.channels, self.frames, self.height, self.width)

    def draw_noise(self, seed: int) -> torch.Tensor:
        """The first latents (1, C, F, H, W) of a video, in float32 on the CPU.

        They are drawn on the CPU and for the whole video at once, whatever renders it: neither the device nor the
        number of ranks changes the noise. It is the noise that `WanPipeline` draws with a CPU generator of this seed.
        """
        generator = torch.Generator("cpu").manual_seed(seed)
        shape = (1, self.channels, self.frames, self.height, self.width)
        return torch.randn(shape, generator=generator, dtype=torch.float32)
