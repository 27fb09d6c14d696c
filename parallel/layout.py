"""How one video is split over the ranks of a gang. Needs no torch: layouts are checked before anything is loaded.

Three axes, from the outermost to the innermost, so that neighbours in rank are neighbours in Ulysses:

- `cfg` 2 gives each guidance branch its own half of the ranks; they exchange 64 values a token once a step.
- `ring` splits the tokens; in self-attention each rank sees all keys and values, gathered.
- `ulysses` splits the tokens too; in self-attention it trades tokens for heads with two all-to-all exchanges, the
  cheapest where links are fast: keep it within a node.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_DEGREE = 1024
"""Of an axis. Beyond any gang that renders one video; keeps a slip of the keyboard from being searched through."""


class LayoutError(ValueError):
    """A layout that the model or the video cannot have."""


class AttentionEngine(StrEnum):
    """Whose code computes attention over split tokens."""

    DIFFUSERS = "diffusers"  # context parallelism of the stock model
    XFUSER = "xfuser"  # xDiT's unified sequence parallelism


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Ranks of one gang along the three axes.

    Raises:
        LayoutError: a degree is below 1, or `cfg` is neither 1 nor 2.
    """

    cfg: int = 1
    ring: int = 1
    ulysses: int = 1

    def __post_init__(self) -> None:
        if self.cfg not in (1, 2):
            raise LayoutError(
                f"parallel.cfg={self.cfg} must be 1, or 2 for a half of the ranks to each guidance branch"
            )
        for name in ("ring", "ulysses"):
            if not 1 <= getattr(self, name) <= MAX_DEGREE:
                raise LayoutError(
                    f"parallel.{name}={getattr(self, name)} must be at least 1 and at most {MAX_DEGREE}"
                )

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.cfg * self.ring * self.ulysses

    @property
    def sequence_degree(self) -> int:
        """Number of slices of the tokens."""
        return self.ring * self.ulysses

    def __str__(self) -> str:
        degrees = {"cfg": self.cfg, "ring": self.ring, "ulysses": self.ulysses}
        return " × ".join(f"{name} {degree}" for name, degree in degrees.items() if degree > 1) or "one rank"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What a layout has to fit."""

    num_heads: int
    """Attention heads of the transformer."""
    num_tokens: int
    """Tokens of the whole video: latent frames × height/16 × width/16."""
    is_guided: bool = True
    """Whether there is an unconditional branch."""
    engine: AttentionEngine = AttentionEngine.DIFFUSERS
    ranks_per_node: int = 8
    """Ranks that share fast links."""
    is_float32_on_gpu: bool = False
    """Whether the model computes in float32 on GPUs, which not all attention can."""


def takes_16_bits_alone(layout: Layout, engine: AttentionEngine) -> bool:
    """Whether its self-attention on GPUs is a kernel (cuDNN's or FlashAttention's) for bfloat16 and float16 alone.

    Of the diffusers engine a ring's is, which needs the log-sum-exp; of xfuser any over split tokens.
    """
    return layout.ring > 1 or (engine is AttentionEngine.XFUSER and layout.sequence_degree > 1)


def reasons_against(layout: Layout, problem: Problem) -> list[str]:
    """Why the layout is impossible; empty where it is not."""
    reasons = []
    if layout.cfg == 2 and not problem.is_guided:
        reasons.append("cfg 2 needs two guidance branches, and denoise.guidance_scale is at most 1")
    if problem.num_heads % layout.ulysses:
        reasons.append(f"ulysses {layout.ulysses} does not divide the model's {problem.num_heads} attention heads")
    if problem.is_float32_on_gpu and takes_16_bits_alone(layout, problem.engine):
        what = "a ring" if problem.engine is AttentionEngine.DIFFUSERS else "the xfuser engine"
        reasons.append(f"{what} computes attention on GPUs in bfloat16 or float16 alone, and model.dtype is float32")
    slices = layout.sequence_degree
    if problem.num_tokens < slices:
        reasons.append(f"there are fewer tokens ({problem.num_tokens}) than slices ({slices})")
    elif problem.num_tokens % slices:
        uneven = f"the video's {problem.num_tokens} tokens do not divide into {slices} slices, which"
        if problem.engine is not AttentionEngine.DIFFUSERS:
            reasons.append(f"{uneven} only the diffusers engine can do")
        elif layout.ring > 1 and layout.ulysses > 1:
            reasons.append(f"{uneven} works with ring or ulysses alone, not with both")
    return reasons


def splits_evenly(layout: Layout, problem: Problem) -> bool:
    """Whether every rank gets the same number of tokens."""
    return problem.num_tokens % layout.sequence_degree == 0


def possible_layouts(num_ranks: int, problem: Problem) -> list[Layout]:
    """Every layout of exactly `num_ranks` that fits, the best first (see `choose_layout`)."""
    fitting = [layout for layout in _factorisations(num_ranks) if not reasons_against(layout, problem)]
    return sorted(fitting, key=lambda layout: _preference(layout, problem))


def choose_layout(num_ranks: int, problem: Problem) -> Layout:
    """The layout that is expected to be the fastest for `num_ranks`.

    In this order: slices of equal length; Ulysses within a node; guidance branches apart, as they hardly talk; and
    as little ring as possible, since it gathers all keys and values on every rank.

    Raises:
        LayoutError: no layout of so many ranks fits; the message names the nearest numbers of ranks that do.
    """
    layouts = possible_layouts(num_ranks, problem)
    if not layouts:
        raise LayoutError(f"no layout of {num_ranks} ranks fits this model and video; {_nearest(num_ranks, problem)}")
    return layouts[0]


def check_layout(layout: Layout, problem: Problem) -> None:
    """Refuse a layout that this model and video cannot have.

    Raises:
        LayoutError: says why, and names the nearest layouts that are possible.
    """
    reasons = reasons_against(layout, problem)
    if reasons:
        raise LayoutError(
            f"layout {layout} is impossible: {'; '.join(reasons)}; {_nearest(layout.world_size, problem)}"
        )


def explain(layout: Layout, problem: Problem) -> str:
    """One line on what the layout means for this video, for people."""
    tokens, slices = problem.num_tokens, layout.sequence_degree
    parts = []
    if layout.cfg == 2:
        parts.append(f"the two guidance branches on {slices} rank{'s' if slices > 1 else ''} each")
    if slices > 1:
        each = f"{tokens // slices}" if splits_evenly(layout, problem) else f"{tokens // slices} or one more"
        parts.append(f"{each} of {tokens} tokens a rank")
    if layout.ulysses > 1:
        parts.append(f"{problem.num_heads // layout.ulysses} of {problem.num_heads} heads a rank in self-attention")
    if layout.ring > 1:
        parts.append(f"keys and values gathered from {layout.ring} ranks")
    if layout.ulysses > problem.ranks_per_node:
        parts.append("ulysses reaches across nodes, where links are slow")
    return "; ".join(parts) or "everything on one rank"


def _preference(layout: Layout, problem: Problem) -> tuple[bool, bool, int, int]:
    crosses_nodes = layout.ulysses > problem.ranks_per_node
    return not splits_evenly(layout, problem), crosses_nodes, -layout.cfg, layout.ring


def _nearest(num_ranks: int, problem: Problem) -> str:
    """The possible layouts of as many ranks, or else of the nearest numbers below and above."""
    same = possible_layouts(num_ranks, problem)
    if same:
        return f"possible with {num_ranks} ranks: {_join(same)}"
    nearest = [
        *_first(range(num_ranks - 1, 0, -1), problem),
        *_first(range(num_ranks + 1, 2 * num_ranks + 8), problem),
    ]
    return f"nearest possible: {_join(nearest)}"


def _first(counts: range, problem: Problem) -> list[Layout]:
    for count in counts:
        layouts = possible_layouts(count, problem)
        if layouts:
            return layouts[:1]
    return []


def _join(layouts: list[Layout]) -> str:
    return ", ".join(f"{layout} ({layout.world_size} ranks)" for layout in layouts)


def _factorisations(num_ranks: int) -> Iterator[Layout]:
    for cfg in (1, 2):
        if num_ranks % cfg:
            continue
        rest = num_ranks // cfg
        for ulysses in range(1, rest + 1):
            if rest % ulysses == 0:
                yield Layout(cfg=cfg, ring=rest // ulysses, ulysses=ulysses)
