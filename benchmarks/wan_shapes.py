"""The shapes of Wan2.1's models and videos by name, and small ones for the tests; what of them diffusers is told."""

from dataclasses import dataclass, field
from typing import Any

from orchestrator.tokens import LatentShape
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B, VideoSize, WanShape

SPATIAL_SCALE = 8
"""Pixels behind one latent, in height and in width."""
TEMPORAL_SCALE = 4
"""Frames behind one latent, but for the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """A whole model: transformer, autoencoder, text encoder."""

    transformer: WanShape
    vae: dict[str, Any] = field(default_factory=dict)
    """Arguments of `AutoencoderKLWan`, whose defaults are Wan2.1's."""
    text_encoder: dict[str, Any] = field(default_factory=dict)
    """Arguments of `UMT5Config`."""


def transformer_config(shape: WanShape) -> dict[str, Any]:
    """Arguments of `WanTransformer3DModel`; the rest are its defaults, which are Wan2.1's."""
    return {
        "num_attention_heads": shape.num_heads,
        "attention_head_dim": shape.head_width,
        "text_dim": shape.text_width,
        "freq_dim": shape.time_width,
        "ffn_dim": shape.feed_forward,
        "num_layers": shape.num_blocks,
    }


def latent_shape(size: VideoSize) -> LatentShape:
    """The latents of one video."""
    return LatentShape(
        channels=16,
        frames=(size.num_frames - 1) // TEMPORAL_SCALE + 1,
        height=size.height // SPATIAL_SCALE,
        width=size.width // SPATIAL_SCALE,
        patch=(1, 2, 2),
    )


def flow_shift(size: VideoSize) -> float:
    """As Wan's authors set it: 5 at 720p, 3 otherwise."""
    return 5.0 if size == SIZE_720P else 3.0


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
    "14b": ModelShape(transformer=WAN_14B, text_encoder=UMT5_XXL),
    "1.3b": ModelShape(transformer=WAN_1_3B, text_encoder=UMT5_XXL),
    "small": ModelShape(
        transformer=WanShape(
            name="small",
            num_blocks=2,
            num_heads=4,
            head_width=16,
            feed_forward=128,
            num_text_tokens=12,
            text_width=48,
            time_width=32,
        ),
        vae={"base_dim": 8},
        text_encoder={
            **UMT5_XXL,
            **{"vocab_size": 256, "d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4},
        },
    ),
}

SIZES = {"480p": SIZE_480P, "720p": SIZE_720P, "small": VideoSize(height=64, width=64, num_frames=9)}
