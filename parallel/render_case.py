"""What `parallel.render_time` is asked about: one video, on one gang, with what is assumed. Standard library only."""

from dataclasses import dataclass

from parallel.hardware import Chip, Network
from parallel.wan_shapes import VideoSize, WanShape

NUM_BRANCHES = 2
"""Conditional and unconditional pass of a full round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How one video is split over the ranks of a gang.

    Raises:
        ValueError: a degree is not allowed.
    """

    cfg: int = 1
    """2 where the two branches of guidance run on two halves of the gang."""
    ring: int = 1
    ulysses: int = 1

    def __post_init__(self) -> None:
        if self.cfg not in (1, NUM_BRANCHES):
            raise ValueError(f"cfg={self.cfg} must be 1 or {NUM_BRANCHES}, the branches of guidance")
        for field in ("ring", "ulysses"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")

    @property
    def shards(self) -> int:
        """Ranks that share the tokens of one branch."""
        return self.ring * self.ulysses

    @property
    def num_ranks(self) -> int:
        """Ranks of the gang."""
        return self.cfg * self.shards

    def __str__(self) -> str:
        return f"cfg {self.cfg} × ring {self.ring} × ulysses {self.ulysses}"


def possible_splits(model: WanShape, size: VideoSize, *, num_ranks: int, gpus_per_node: int = 8) -> list[Split]:
    """Splits over exactly `num_ranks` that divide heads and tokens and keep Ulysses groups within a node."""
    degrees = [degree for degree in range(1, gpus_per_node + 1) if gpus_per_node % degree == 0]
    return [
        Split(cfg=cfg, ring=num_ranks // (cfg * ulysses), ulysses=ulysses)
        for cfg in (1, NUM_BRANCHES)
        for ulysses in degrees
        if num_ranks % (cfg * ulysses) == 0
        and model.num_heads % ulysses == 0
        and size.num_tokens % (num_ranks // cfg) == 0
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """How many steps of a video are full rounds.

    Raises:
        ValueError: a count is out of range.
    """

    num_steps: int = 50
    num_full: int = 50
    num_snapshots: int | None = None
    """Snapshots that a forecast round reads of each branch; None: as many as there are full rounds, the most."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_full <= self.num_steps:
            raise ValueError(f"num_full={self.num_full} must be 1 to num_steps={self.num_steps}")
        if self.num_snapshots is not None and not 1 <= self.num_snapshots <= self.num_full:
            raise ValueError(f"num_snapshots={self.num_snapshots} must be 1 to num_full={self.num_full}")

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
        for field in ("text_seconds", "step_seconds", "video_seconds"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Render:
    """One video on one gang.

    Raises:
        ValueError: the split does not divide the model's heads or the video's tokens.
    """

    model: WanShape
    size: VideoSize
    chip: Chip
    network: Network
    split: Split = Split()
    rounds: Rounds = Rounds()
    assumptions: Assumptions = Assumptions()

    def __post_init__(self) -> None:
        for name, degree, what, count in (
            ("ulysses", self.split.ulysses, "attention heads", self.model.num_heads),
            ("ring × ulysses", self.split.shards, "tokens", self.size.num_tokens),
        ):
            if count % degree:
                raise ValueError(f"{name}={degree} does not divide the {count} {what}")

    @property
    def own_tokens(self) -> int:
        """Tokens of one rank."""
        return self.size.num_tokens // self.split.shards

    @property
    def own_branches(self) -> int:
        """Branches of one rank."""
        return NUM_BRANCHES // self.split.cfg
