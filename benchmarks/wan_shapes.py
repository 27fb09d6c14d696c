"""The shapes of Wan2.1's models and videos, as published, and small ones for the tests."""

from dataclasses import dataclass, field
from typing import Any

from orchestrator.tokens import LatentShape

SPATIAL_SCALE = 8
"""Pixels behind one latent, in height and in width."""
TEMPORAL_SCALE = 4
"""Frames behind one latent, but for the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerShape:
    """What decides the transformer's arithmetic."""

    num_layers: int
    num_heads: int
    head_dim: int
    ffn_dim: int
    text_dim: int
    freq_dim: int = 256
    channels: int = 16
    """Latent channels, in and out."""
    patch: tuple[int, int, int] = (1, 2, 2)

    @property
    def width(self) -> int:
        """Values of a token inside the blocks."""
        return self.num_heads * self.head_dim

    @property
    def patch_values(self) -> int:
        """Values of a token outside the blocks."""
        patch_frames, patch_height, patch_width = self.patch
        return self.channels * patch_frames * patch_height * patch_width

    def as_config(self) -> dict[str, Any]:
        """Arguments of `WanTransformer3DModel`; the rest are its defaults, which are Wan2.1's."""
        return {
            "patch_size": self.patch,
            "num_attention_heads": self.num_heads,
            "attention_head_dim": self.head_dim,
            "in_channels": self.channels,
            "out_channels": self.channels,
            "text_dim": self.text_dim,
            "freq_dim": self.freq_dim,
            "ffn_dim": self.ffn_dim,
            "num_layers": self.num_layers,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """A whole model: transformer, autoencoder, text encoder."""

    transformer: TransformerShape
    num_text_tokens: int = 512
    vae: dict[str, Any] = field(default_factory=dict)
    """Arguments of `AutoencoderKLWan`, whose defaults are Wan2.1's."""
    text_encoder: dict[str, Any] = field(default_factory=dict)
    """Arguments of `UMT5Config`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSize:
    """What is rendered."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    num_frames: int
    flow_shift: float
    """As Wan's authors set it for the size."""

    @property
    def num_pixels(self) -> int:
        """Pixels of all frames."""
        return self.height * self.width * self.num_frames

    def latents(self, transformer: TransformerShape) -> LatentShape:
        """The latents of one video of this size."""
        return LatentShape(
            channels=transformer.channels,
            frames=(self.num_frames - 1) // TEMPORAL_SCALE + 1,
            height=self.height // SPATIAL_SCALE,
            width=self.width // SPATIAL_SCALE,
            patch=transformer.patch,
        )


UMT5_XXL = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}

MODELS = {
    "14b": ModelShape(
        transformer=TransformerShape(num_layers=40, num_heads=40, head_dim=128, ffn_dim=13824, text_dim=4096),
        text_encoder=UMT5_XXL,
    ),
    "1.3b": ModelShape(
        transformer=TransformerShape(num_layers=30, num_heads=12, head_dim=128, ffn_dim=8960, text_dim=4096),
        text_encoder=UMT5_XXL,
    ),
    "small": ModelShape(
        transformer=TransformerShape(num_layers=2, num_heads=4, head_dim=16, ffn_dim=128, text_dim=48, freq_dim=32),
        num_text_tokens=12,
        vae={"base_dim": 8},
        text_encoder={
            **UMT5_XXL,
            **{"vocab_size": 256, "d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4},
        },
    ),
}

SIZES = {
    "480p": VideoSize(height=480, width=832, num_frames=81, flow_shift=3.0),
    "720p": VideoSize(height=720, width=1280, num_frames=81, flow_shift=5.0),
    "small": VideoSize(height=64, width=64, num_frames=9, flow_shift=3.0),
}
