"""Which rounds of a video are full and which are forecast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from math import floor, isfinite
from typing import overload


class Round(StrEnum):
    """What one denoising step does."""

    FULL = "full"  # the transformer's blocks run
    FORECAST = "forecast"  # their output is forecast from the history


@dataclass(frozen=True, slots=True)
class Plan(Sequence[Round]):
    """The rounds of all steps of one video, `plan[step]`.

    A plan is a pure function of the configuration, so that every rank holds the same one without a word.

    Raises:
        ValueError: the plan is empty, or its first round is not full (there would be nothing to forecast from).
    """

    rounds: tuple[Round, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a plan needs at least one round")
        if self.rounds[0] is not Round.FULL:
            raise ValueError("the first round of a plan must be full: there is no history to forecast from")

    @overload
    def __getitem__(self, index: int) -> Round: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Round, ...]: ...
    def __getitem__(self, index: int | slice) -> Round | tuple[Round, ...]:
        return self.rounds[index]

    def __len__(self) -> int:
        return len(self.rounds)

    def __iter__(self) -> Iterator[Round]:
        return iter(self.rounds)

    @property
    def full_steps(self) -> tuple[int, ...]:
        """The steps whose round is full, ascending."""
        return tuple(step for step, kind in enumerate(self.rounds) if kind is Round.FULL)

    @property
    def num_full(self) -> int:
        """Number of full rounds: what the video costs."""
        return len(self.full_steps)

    @property
    def num_snapshots(self) -> int:
        """Full rounds whose features some later round is forecast from: what the history has to hold."""
        return sum(self.is_remembered(step) for step in self.full_steps)

    def is_remembered(self, step: int) -> bool:
        """Whether a round after `step` is forecast, so that the features of `step` are needed."""
        return Round.FORECAST in self.rounds[step + 1 :]

    def segment_end(self, step: int) -> int:
        """The step after the segment that `step` belongs to.

        A segment is one full round and the forecast rounds after it, up to the next full one.

        Raises:
            IndexError: the plan has no such step.
        """
        if not 0 <= step < len(self.rounds):
            raise IndexError(f"step {step} is none of the plan's {len(self.rounds)}")
        end = step + 1
        while end < len(self.rounds) and self.rounds[end] is not Round.FULL:
            end += 1
        return end

    @classmethod
    def from_full_steps(cls, num_steps: int, full_steps: Sequence[int]) -> "Plan":
        """The plan of `num_steps` rounds of which exactly `full_steps` are full.

        Raises:
            ValueError: a step lies outside [0, num_steps), or step 0 is not among them.
        """
        chosen = set(full_steps)
        outside = sorted(step for step in chosen if not 0 <= step < num_steps)
        if outside:
            raise ValueError(f"full_steps={outside} lie outside the {num_steps} steps 0..{num_steps - 1}")
        return cls(tuple(Round.FULL if step in chosen else Round.FORECAST for step in range(num_steps)))


def plan_rounds(num_steps: int, *, warmup_steps: int = 5, window: float = 2, growth: float = 0.75) -> Plan:
    """The paper's plan: dense at the start, then ever wider gaps (arXiv 2603.01623, "adaptive" schedule).

    The first `warmup_steps` rounds are full. After them the k-th gap between full rounds (k = 0, 1, …) is
    floor(window + k · growth) steps. For 50 steps growth 0.75 gives 14 full rounds and growth 3 gives 10.

    Args:
        num_steps: denoising steps of the video.
        warmup_steps: full rounds at the start.
        window: first gap, in steps.
        growth: how much each later gap is wider, in steps (the paper's α).

    Raises:
        ValueError: an argument is out of range; the message says which and what is allowed.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps} must be at least 1")
    if warmup_steps < 1:
        raise ValueError(f"warmup_steps={warmup_steps} must be at least 1")
    if not (isfinite(window) and window >= 1):
        raise ValueError(f"window={window} must be a finite number of at least 1")
    if not (isfinite(growth) and growth >= 0):
        raise ValueError(f"growth={growth} must be a finite number of at least 0")
    full_steps = list(range(min(warmup_steps, num_steps)))
    for k in count():
        step = full_steps[-1] + floor(window + k * growth)
        if step >= num_steps:
            break
        full_steps.append(step)
    return Plan.from_full_steps(num_steps, full_steps)
