"""Shapes of the Wan2.1 models and of their videos, and the arithmetic of one full pass. Standard library only."""

from dataclasses import dataclass, fields

PATCH_VALUES = 64
"""Values of one token as latents or as the head's output: 16 channels × the patch's 1×2×2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WanShape:
    """A transformer of Wan2.1's architecture.

    Raises:
        ValueError: a field is below 1.
    """

    name: str
    num_blocks: int
    num_heads: int
    feed_forward: int
    """Width inside the feed-forward network, values."""
    head_width: int = 128
    num_text_tokens: int = 512
    """Tokens of a prompt after padding."""
    text_width: int = 4096
    """Values of one text token as the text encoder gives it."""
    time_width: int = 256
    """Values of the sinusoidal embedding of a timestep."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "name" and value < 1:
                raise ValueError(f"{field.name}={value} must be at least 1")

    @property
    def width(self) -> int:
        """Values of one token between the blocks."""
        return self.num_heads * self.head_width


WAN_14B = WanShape(name="Wan2.1-14B", num_blocks=40, num_heads=40, feed_forward=13_824)
WAN_1_3B = WanShape(name="Wan2.1-1.3B", num_blocks=30, num_heads=12, feed_forward=8_960)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSize:
    """Frames and pixels of a video.

    Raises:
        ValueError: the autoencoder (4 frames × 8 × 8 pixels a latent) and the patch (1×2×2) do not fit the size.
    """

    num_frames: int = 81
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.num_frames % 4 != 1:
            raise ValueError(f"num_frames={self.num_frames} must be 4k + 1")
        for field in ("height", "width"):
            value = getattr(self, field)
            if value < 16 or value % 16:
                raise ValueError(f"{field}={value} must be a multiple of 16 pixels, at least 16")

    @property
    def num_tokens(self) -> int:
        """Tokens of the whole video: latent frames × height/16 × width/16."""
        return ((self.num_frames - 1) // 4 + 1) * (self.height // 16) * (self.width // 16)

    @property
    def num_pixels(self) -> int:
        """Pixels of all frames together: what the autoencoder's decoder puts out."""
        return self.num_frames * self.height * self.width


SIZE_480P = VideoSize(height=480, width=832)
SIZE_720P = VideoSize(height=720, width=1280)


@dataclass(frozen=True, kw_only=True, slots=True)
class PassFlops:
    """Arithmetic of one pass of one guidance branch, on one rank, in FLOP (a multiply-add is two).

    Matrix products only. Norms, rotary embeddings, activations and residuals are bound by memory, not counted.
    """

    self_projections: float
    """Query, key, value and output of self-attention."""
    self_attention: float
    """QKᵀ and the weighted sum of V, of all tokens with all."""
    cross_projections: float
    """Query and output from the video's tokens, key and value from the text's."""
    cross_attention: float
    feed_forward: float
    embeddings: float
    """Of patches, text and timestep."""
    head: float
    """`proj_out`: all that a forecast round computes."""

    @property
    def attention(self) -> float:
        """What runs in attention kernels."""
        return self.self_attention + self.cross_attention

    @property
    def matmul(self) -> float:
        """What runs in plain matrix products."""
        return self.self_projections + self.cross_projections + self.feed_forward + self.embeddings + self.head

    @property
    def total(self) -> float:
        """All of it."""
        return self.matmul + self.attention


def pass_flops(model: WanShape, num_tokens: int, *, shards: int = 1) -> PassFlops:
    """Arithmetic of one full pass on a rank that holds 1/`shards` of the video's tokens.

    The text's keys and values, and the embeddings of text and patches, are computed on every rank alike
    (diffusers slices the tokens at the first block), so they do not shrink with `shards`.

    Args:
        model: the transformer.
        num_tokens: tokens of the whole video.
        shards: ranks that share the tokens of one branch, ring × Ulysses.

    Raises:
        ValueError: `num_tokens` or `shards` is below 1.
    """
    for field, value in (("num_tokens", num_tokens), ("shards", shards)):
        if value < 1:
            raise ValueError(f"{field}={value} must be at least 1")
    width, blocks, text_tokens = model.width, model.num_blocks, model.num_text_tokens
    own_tokens = num_tokens / shards
    square = 2 * width * width  # one token through one width × width matrix
    embed_text = text_tokens * (2 * model.text_width * width + square)
    embed_time = 2 * model.time_width * width + square + 6 * square
    return PassFlops(
        self_projections=blocks * 4 * own_tokens * square,
        self_attention=blocks * 2 * 2 * own_tokens * num_tokens * width,
        cross_projections=blocks * 2 * (own_tokens + text_tokens) * square,
        cross_attention=blocks * 2 * 2 * own_tokens * text_tokens * width,
        feed_forward=blocks * 2 * 2 * own_tokens * width * model.feed_forward,
        embeddings=2 * num_tokens * PATCH_VALUES * width + embed_text + embed_time,
        head=2 * own_tokens * width * PATCH_VALUES,
    )
