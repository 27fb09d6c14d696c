"""A model of the bytes that one rank needs, by what they are needed for. Standard library only.

Counted, not measured: `benchmarks.denoise_memory` and `benchmarks.decode_memory` count the tensors that are alive at
once on one rank. What kernels, CUDA and NCCL take beside them is `RESERVED_BYTES`, and what several ranks exchange is
assumed: Ulysses holds three slices of queries, keys and values twice. A ring holds all its ranks' keys and values.
"""

from dataclasses import dataclass, field
from math import ceil

from parallel.layout import Layout
from parallel.wan_shapes import PATCH_VALUES, VideoSize, WanShape

GIB = 2**30
BRANCH_SLICES = 11.2
"""Slices of features (tokens × width) alive at most in a block whose feed-forward network is narrow."""
FEED_FORWARD_SLICES = 4.4
"""The same within a feed-forward network, beside its two inner layers."""
RING_SLICES = 8.0
"""In a ring, beside all its keys and values: the outputs of two parts, joined in float32."""
DECODE_BYTES_PER_PIXEL = 19_300
"""Of one frame's area, by the decoder of Wan2.1 in float32 working on four frames at once."""
TILED_BYTES_PER_PIXEL = 3_100
"""The same tile by tile, once the frames are larger than a tile."""
FRAME_BYTES_PER_PIXEL = 24
"""Of each finished frame: three float32 channels, twice while frames are joined."""
WAN_VAE_PARAMETERS = 126_892_531
"""Of the autoencoder of all Wan2.1 models."""
WAN_TEXT_PARAMETERS = 5_680_910_336
"""Of their text encoder, UMT5-XXL's."""
RESERVED_BYTES = 2.0 * GIB
"""CUDA's context, NCCL's buffers and the workspaces of kernels; assumed."""
LATENT_BYTES = 4
SOLVER_TENSORS = 6
"""Tensors of the latents' size: tokens, velocity, the solver's two last outputs, its last sample, one on the way."""


def block_parameters(model: WanShape) -> int:
    """Of one block: self- and cross-attention, feed-forward network, norms and modulation."""
    width, inner = model.width, model.feed_forward
    attention = 4 * (width * width + width) + 2 * width
    return 2 * attention + 2 * width * inner + inner + width + 2 * width + 6 * width


def outer_parameters(model: WanShape) -> int:
    """Of a transformer beside its blocks: embeddings and head."""
    width = model.width
    patch = PATCH_VALUES * width + width
    time = model.time_width * width + width + width * width + width + width * 6 * width + 6 * width
    text = model.text_width * width + width + width * width + width
    return patch + time + text + width * PATCH_VALUES + PATCH_VALUES + 2 * width


def transformer_parameters(model: WanShape) -> int:
    """Of the whole transformer."""
    return model.num_blocks * block_parameters(model) + outer_parameters(model)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryCase:
    """What decides the memory of the rank that needs most: rank 0."""

    model: WanShape
    size: VideoSize
    layout: Layout = field(default_factory=Layout)
    is_guided: bool = True
    value_bytes: int = 2
    """Of a number of the transformer and its features."""
    shards_blocks: bool = False
    num_snapshots: int = 0
    """Snapshots that are kept of each branch; 0 where nothing is forecast."""
    forecasts_velocity: bool = False
    text_bytes: float = 0.0
    """Of the text encoder on the rank's device; 0 where it is elsewhere."""
    vae_parameters: int = WAN_VAE_PARAMETERS
    """Of the autoencoder; 0 where others decode."""
    decodes_together: bool = False
    """Whether all ranks decode bands of rows."""
    tiling: bool = False
    """Whether frames are decoded tile by tile."""
    reserved_bytes: float = RESERVED_BYTES

    @property
    def own_tokens(self) -> int:
        """Tokens of one rank, the largest slice."""
        return ceil(self.size.num_tokens / self.layout.sequence_degree)

    @property
    def own_branches(self) -> int:
        """Branches of one rank."""
        return (2 if self.is_guided else 1) // self.layout.cfg

    @property
    def slice_bytes(self) -> int:
        """Of the features of one rank's tokens, of one branch."""
        return self.own_tokens * self.model.width * self.value_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """Bytes of one rank by what they are for. Not all are needed at the same time: see the stages."""

    weights: float
    """Transformer and autoencoder."""
    text: float
    """Text encoder, while prompts are encoded."""
    history: float
    """Snapshots that forecasts are made from, and the latents with what the solver remembers."""
    activations: float
    """Of a full round."""
    decode: float
    """Of the autoencoder's decoder."""
    reserved: float

    @property
    def stages(self) -> dict[str, float]:
        """Bytes at each stage."""
        always = self.weights + self.reserved
        return {
            "encode": always + self.text,
            "denoise": always + self.history + self.activations,
            "decode": always + self.decode,
        }

    @property
    def worst_stage(self) -> str:
        """The stage that needs most."""
        return max(self.stages, key=lambda stage: self.stages[stage])

    @property
    def peak(self) -> float:
        """Bytes at that stage."""
        return self.stages[self.worst_stage]


def footprint(case: MemoryCase) -> Footprint:
    """Bytes of rank 0."""
    return Footprint(
        weights=weight_bytes(case),
        text=case.text_bytes,
        history=history_bytes(case) + SOLVER_TENSORS * case.own_tokens * PATCH_VALUES * LATENT_BYTES,
        activations=activation_bytes(case),
        decode=decode_bytes(case),
        reserved=case.reserved_bytes,
    )


def weight_bytes(case: MemoryCase) -> float:
    """Of the transformer, as far as this rank keeps it, and of the autoencoder."""
    block, ranks = block_parameters(case.model), case.layout.world_size
    blocks = case.model.num_blocks * block
    if case.shards_blocks and ranks > 1:
        blocks = ceil(blocks / ranks) + 2 * block  # one that runs, and the next on its way
    return (blocks + outer_parameters(case.model)) * case.value_bytes + case.vae_parameters * LATENT_BYTES


def history_bytes(case: MemoryCase) -> float:
    """Of the snapshots, of all of a rank's branches."""
    if case.forecasts_velocity:
        return case.num_snapshots * case.own_tokens * PATCH_VALUES * case.value_bytes
    return case.num_snapshots * case.own_branches * case.slice_bytes


def activation_bytes(case: MemoryCase) -> float:
    """Alive at most in a full round, of one branch: they run one after the other."""
    inner = 2 * case.model.feed_forward / case.model.width
    slices = max(BRANCH_SLICES, FEED_FORWARD_SLICES + inner)
    if case.layout.ulysses > 1:
        slices += 3
    if case.layout.ring > 1:  # after Ulysses has traded tokens for heads a rank still holds one slice of each
        slices += 2 * case.layout.ring + RING_SLICES
    # The patches of all tokens are embedded on every rank, and stay until the first block is done.
    whole = case.size.num_tokens * case.model.width * case.value_bytes if case.layout.sequence_degree > 1 else 0
    return slices * case.slice_bytes + whole


def decode_bytes(case: MemoryCase) -> float:
    """Alive at most while one video is decoded, on the rank that decodes most of it."""
    if not case.vae_parameters:
        return 0
    area, frames = case.size.height * case.size.width, case.size.num_frames
    at_once = TILED_BYTES_PER_PIXEL if case.tiling else DECODE_BYTES_PER_PIXEL
    ranks = case.layout.world_size if case.decodes_together else 1
    return area * (at_once / ranks + FRAME_BYTES_PER_PIXEL * frames)


@dataclass(frozen=True, slots=True)
class CheckpointBytes:
    """Size of a video's checkpoint, of all ranks together, when it is largest."""

    full: float
    latents: float


def checkpoint_bytes(case: MemoryCase) -> CheckpointBytes:
    """Before the last segment: tokens, the solver's outputs and sample, history and embedded texts."""
    latents = 4 * case.size.num_tokens * PATCH_VALUES * LATENT_BYTES
    ranks, groups = case.layout.world_size, case.layout.cfg
    texts = ranks * case.own_branches * case.model.num_text_tokens * case.model.text_width * case.value_bytes
    history = history_bytes(case) * ranks
    return CheckpointBytes(full=latents * (groups + 1) + history + texts, latents=latents)
