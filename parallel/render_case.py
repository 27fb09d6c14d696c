"""What `parallel.render_time` is asked about: one video, on one gang, with what is assumed. Standard library only."""

from dataclasses import dataclass, field

from parallel.hardware import Chip, Network
from parallel.layout import Layout, LayoutError, Problem, check_layout, possible_layouts, splits_evenly
from parallel.wan_shapes import VideoSize, WanShape

NUM_BRANCHES = 2
"""Conditional and unconditional pass of a full round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """How many steps of a video are full rounds.

    Raises:
        ValueError: a count is out of range.
    """

    num_steps: int = 50
    num_full: int = 50
    num_snapshots: int | None = None
    """Snapshots that a forecast round reads of each branch; None: as many as there are full rounds. More than these
    are room that is kept for a plan which is not known yet."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_full <= self.num_steps:
            raise ValueError(f"num_full={self.num_full} must be 1 to num_steps={self.num_steps}")
        if self.num_snapshots is not None and not 1 <= self.num_snapshots <= self.num_steps:
            raise ValueError(f"num_snapshots={self.num_snapshots} must be 1 to num_steps={self.num_steps}")

    @property
    def num_forecast(self) -> int:
        """Steps that are forecast rounds."""
        return self.num_steps - self.num_full

    @property
    def history(self) -> int:
        """Snapshots that a forecast round reads of each branch."""
        return self.num_full if self.num_snapshots is None else self.num_snapshots

    @property
    def ideal_speedup(self) -> float:
        """What forecasting would win if full rounds were all that costs."""
        return self.num_steps / self.num_full


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumptions:
    """What is fitted, measured or guessed about an implementation.

    Raises:
        ValueError: a field is out of range, or both efficiency and measured seconds are given.
    """

    efficiency: float = 1.0
    """Part of the chip's achieved matmul and attention FLOP/s that an implementation reaches, above 0, at most 1."""
    measured_full_round_seconds: float | None = None
    """Of one full round (both branches, this model, size and chip) on one GPU, given instead of an efficiency."""
    overlap: float = 0.0
    """Part of the time on the wire that hides behind arithmetic, 0 to 1."""
    text_seconds: float = 1.1
    """Text encoder, both prompts (sglang#18493: 1.1 s)."""
    decode_ranks: int = 1
    """Ranks that decode a video together, each an equal part, at no cost of their own."""
    step_seconds: float = 0.002
    """Of every step on the host, hidden behind nothing; assumed."""
    video_seconds: float = 2.0
    """Of every video besides: frames to the host, mp4; assumed."""

    def __post_init__(self) -> None:
        measured = self.measured_full_round_seconds
        if not 0 < self.efficiency <= 1:
            raise ValueError(f"efficiency={self.efficiency} must be above 0 and at most 1")
        if measured is not None and not measured > 0:
            raise ValueError(f"measured_full_round_seconds={measured} must be above 0")
        if measured is not None and self.efficiency != 1:
            raise ValueError(
                f"efficiency={self.efficiency} must be left at 1, as measured_full_round_seconds={measured} is given"
            )
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap={self.overlap} must be 0 to 1")
        if self.decode_ranks < 1:
            raise ValueError(f"decode_ranks={self.decode_ranks} must be at least 1")
        for name in ("text_seconds", "step_seconds", "video_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Render:
    """One video on one gang.

    Raises:
        LayoutError: the layout does not divide the model's heads or the video's tokens.
    """

    model: WanShape
    size: VideoSize
    chip: Chip
    network: Network
    layout: Layout = field(default_factory=Layout)
    rounds: Rounds = Rounds()
    assumptions: Assumptions = Assumptions()
    is_guided: bool = True
    """Whether there is an unconditional branch."""
    forecasts_velocity: bool = False
    """Whether the head's result is forecast, both branches combined, and not the hidden state."""

    def __post_init__(self) -> None:
        check_layout(self.layout, self.problem)
        if not splits_evenly(self.layout, self.problem):
            raise LayoutError(
                f"layout {self.layout} does not divide the video's {self.size.num_tokens} tokens into "
                f"{self.layout.sequence_degree} equal slices: seconds are modelled for equal slices alone"
            )

    @property
    def problem(self) -> Problem:
        """What the layout has to fit."""
        return Problem(
            num_heads=self.model.num_heads,
            num_tokens=self.size.num_tokens,
            is_guided=self.is_guided,
            ranks_per_node=self.network.gpus_per_node,
        )

    @property
    def own_tokens(self) -> int:
        """Tokens of one rank."""
        return self.size.num_tokens // self.layout.sequence_degree

    @property
    def own_branches(self) -> int:
        """Branches of one rank."""
        return NUM_BRANCHES // self.layout.cfg if self.is_guided else 1


def even_layouts(num_ranks: int, problem: Problem) -> list[Layout]:
    """Layouts of exactly `num_ranks` with slices of equal length and Ulysses groups that fill a node evenly."""
    return [
        layout
        for layout in possible_layouts(num_ranks, problem)
        if splits_evenly(layout, problem) and problem.ranks_per_node % layout.ulysses == 0
    ]
