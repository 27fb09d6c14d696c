"""A model of the memory that one video takes on each rank of a gang, to tell which layouts fit a GPU.

    bytes = weights + history + the larger of (activations of a block, decoding) + what a process needs besides

What is assumed beyond the shapes:

- A block holds at once some twenty copies of its tokens' hidden states, norms in fp32 included, and two of the
  feed-forward's.
- A ring gathers the keys and values of one block of all its ranks.
- Decoding keeps 20.4 kB for each pixel of a frame, in fp32 and in one piece, and 4.6 kB tile by tile (counted by
  `benchmarks.decode_memory`).
- Sharded blocks are on the GPU as 1/n of all, and two whole ones: the one that runs and the next.

Standard library only.
"""

from dataclasses import dataclass, fields

from parallel.render_case import Render
from parallel.render_time import BF16_BYTES, LATENT_BYTES
from parallel.wan_shapes import PATCH_VALUES, WanShape

HIDDEN_COPIES = 20
FEED_FORWARD_COPIES = 2
DECODE_PIXEL_BYTES = 20.4e3
"""For each pixel of one frame, on a rank that decodes alone."""
TILED_PIXEL_BYTES = 4.6e3
DECODER_BYTES = 0.5e9
"""Weights of the autoencoder in fp32."""
PROCESS_BYTES = 3e9
"""CUDA's context, communicators, workspaces of kernels and what the allocator cannot use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes on the fullest rank, by what they are for."""

    weights: float
    """The transformer's, and the autoencoder's where the gang decodes."""
    history: float
    """Snapshots of the branches that the rank runs, and a forecast's sum in fp32."""
    working: float
    """The larger of a block's activations and decoding, or more where the text encoder needs it."""
    process: float = PROCESS_BYTES

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


def block_values(model: WanShape) -> int:
    """Parameters of one block: self-attention, cross-attention, feed-forward; biases and norms are left out."""
    return 8 * model.width**2 + 2 * model.width * model.feed_forward


def other_values(model: WanShape) -> int:
    """Parameters outside of the blocks: the embeddings of patches, text and time, and the head."""
    text = model.text_width * model.width + model.width**2
    time = model.time_width * model.width + 7 * model.width**2
    return text + time + 2 * PATCH_VALUES * model.width


def rank_memory(
    render: Render,
    *,
    shard_blocks: bool = False,
    weight_bytes: int = BF16_BYTES,
    feature_values: int | None = None,
    decodes: bool = True,
    tiled: bool = False,
    text_encoder_bytes: float = 0.0,
) -> Memory:
    """Bytes on the fullest rank of the gang.

    Args:
        render: the video and its gang.
        shard_blocks: whether each rank keeps 1/n of every block.
        weight_bytes: of one parameter or feature: 2 in bf16.
        feature_values: of one token's snapshot; None: the hidden state's.
        decodes: whether the gang decodes its videos itself.
        tiled: whether it does so tile by tile.
        text_encoder_bytes: of the text encoder on the GPU, which is gone before the first video begins.
    """
    model, own_tokens = render.model, render.own_tokens
    blocks: float = model.num_blocks * block_values(model)
    if shard_blocks:
        blocks = blocks / render.layout.world_size + 2 * block_values(model)
    weights = (blocks + other_values(model)) * weight_bytes + (DECODER_BYTES if decodes else 0.0)
    snapshot = own_tokens * (model.width if feature_values is None else feature_values)
    history = 0.0
    if render.rounds.num_forecast:
        history = snapshot * (render.rounds.history * render.own_branches * weight_bytes + LATENT_BYTES)
    hidden = HIDDEN_COPIES * model.width + FEED_FORWARD_COPIES * model.feed_forward
    ring = 2 * (render.layout.ring - 1) * model.width
    activations = own_tokens * (hidden + ring) * weight_bytes
    decoding = 0.0
    if decodes:
        pixel_bytes = TILED_PIXEL_BYTES if tiled else DECODE_PIXEL_BYTES / render.assumptions.decode_ranks
        decoding = pixel_bytes * render.size.height * render.size.width
    return Memory(
        weights=weights,
        history=history,
        working=max(activations, decoding, text_encoder_bytes - history),
    )
