"""What an estimate says."""

from dataclasses import dataclass

from orchestrator.cost_model import VideoLoad
from orchestrator.estimate_gangs import Gangs
from orchestrator.estimate_room import Place
from orchestrator.estimate_slurm import SlurmEstimate
from orchestrator.estimate_time import VideoSeconds
from orchestrator.model_facts import ModelFacts
from parallel.render_memory import CheckpointBytes, Footprint


@dataclass(frozen=True, kw_only=True, slots=True)
class KindEstimate:
    """Videos that cost the same."""

    load: VideoLoad
    num_left: int
    """Of them that are not done."""
    seconds: VideoSeconds
    memory: Footprint
    checkpoint: CheckpointBytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a batch takes."""

    job_name: str
    model: ModelFacts
    place: Place
    num_videos: int
    num_left: int
    """Of them that are not done."""
    gangs: Gangs
    """Of one task, if the batch is a job array."""
    num_tasks: int
    kinds: tuple[KindEstimate, ...]
    start_seconds: float
    start_basis: str
    seconds: float
    """Of the batch, from the launch to its end."""
    task_seconds: float
    """Of one task."""
    gpus: int
    """That are taken meanwhile; 0 on the CPU."""
    gpu_hour: float | None
    memory_basis: str
    slurm: SlurmEstimate

    @property
    def gpu_hours(self) -> float:
        """Of all GPUs."""
        return self.gpus * self.num_tasks * self.task_seconds / 3600

    @property
    def money(self) -> float | None:
        """In the currency of cost.gpu_hour; None where that is not set."""
        return None if self.gpu_hour is None else self.gpu_hour * self.gpu_hours
