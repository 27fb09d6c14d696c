"""Which wall-time, and how many tasks of a job array, would finish a batch."""

from dataclasses import dataclass
from math import ceil, floor

from orchestrator.errors import BadInput
from orchestrator.slurm_config import SlurmConfig
from orchestrator.slurm_time import HOUR, MINUTE, format_time, parse_time

MARGIN = 1.25
"""Of a wall-time that is asked for over what is expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmEstimate:
    """What to ask SLURM for. A task is one job, with as many gangs as were estimated."""

    wall_seconds: int
    """With which one task finishes the batch, margin included."""
    task_seconds: int
    """Time limit of a task, slurm.time."""
    num_tasks: int
    """Tasks of that limit that finish the batch without queueing again."""

    @property
    def wall_time(self) -> str:
        """As SLURM reads it."""
        return format_time(self.wall_seconds)


def estimate_slurm(
    slurm: SlurmConfig,
    *,
    num_videos: int,
    num_gangs: int,
    video_seconds: float,
    batch_seconds: float,
    start_seconds: float,
    is_submitted: bool,
) -> SlurmEstimate:
    """What would finish the batch.

    Args:
        slurm: the settings of a job.
        num_videos: that are left.
        num_gangs: of a task.
        video_seconds: mean of one video on one gang.
        batch_seconds: of the whole batch in one task, its start included.
        start_seconds: until a task's gangs render.
        is_submitted: whether this is what would be handed in, so that a limit that is too short is refused.

    Raises:
        BadInput: slurm.time cannot be read, or is too short for one video.
    """
    limit = parse_time(slurm.time, "slurm.time")
    usable = (limit - slurm.signal_seconds) / MARGIN - start_seconds
    each = num_gangs * floor(usable / video_seconds) if usable > 0 else 0
    if each == 0 and is_submitted and num_videos:
        least = _rounded(MARGIN * (start_seconds + video_seconds) + slurm.signal_seconds)
        raise BadInput(
            f"slurm.time={slurm.time} is too short for one video: {video_seconds:.0f} s, and {start_seconds:.0f} s "
            f"until gangs render, slurm.signal_seconds={slurm.signal_seconds} and a margin of {MARGIN - 1:.0%}; "
            f"nearest: slurm.time={format_time(least)}"
        )
    return SlurmEstimate(
        wall_seconds=_rounded(MARGIN * batch_seconds + slurm.signal_seconds),
        task_seconds=limit,
        # A task that is too short still gets somewhere: it stops with a checkpoint and queues again.
        num_tasks=ceil(num_videos / each) if each else 0,
    )


def _rounded(seconds: float) -> int:
    """Up to ten minutes, or to half an hour beyond two hours."""
    unit = 10 * MINUTE if seconds <= 2 * HOUR else 30 * MINUTE
    return ceil(seconds / unit) * unit
