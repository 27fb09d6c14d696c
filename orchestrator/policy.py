"""How a batch meets failures, when it keeps what it has done, and what became of it."""

from dataclasses import dataclass, field
from enum import StrEnum


class CheckpointState(StrEnum):
    """What a checkpoint in the middle of a video holds."""

    FULL = "full"  # everything, rank by rank: the video goes on bit for bit on the same layout
    LATENTS = "latents"  # latents and solver: small, for any layout; the forecaster warms up again
    NONE = "none"  # no checkpoints


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Settings of the scheduler."""

    checkpoint_state: CheckpointState = CheckpointState.FULL
    checkpoint_every: float = 60.0
    """Seconds of a gang's work between two checkpoints of a video."""
    max_attempts: int = 3
    """Attempts of a video that made no progress, after which it is set aside."""
    backoff_seconds: float = 1.0
    """Pause after the first failed attempt; doubled after each further one."""
    grace_seconds: float = 30.0
    """How long gangs may take to come to a checkpoint once the launch is asked to stop."""
    max_waiting: int = 2
    """Denoised videos that may wait for a decode worker, beyond one for each gang."""
    retry_failed: bool = False
    """Try again what earlier launches have set aside."""


class Stop:
    """Whether the launch was asked to stop. Set from a signal handler, read by the scheduler."""

    def __init__(self) -> None:
        self.reason: str | None = None

    @property
    def is_requested(self) -> bool:
        """Whether it was."""
        return self.reason is not None


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of the batch."""

    failed: dict[str, str] = field(default_factory=dict)
    """Why, by id of the videos that were set aside."""
    is_stopped: bool = False
    """Whether the launch was asked to stop before all was done."""
