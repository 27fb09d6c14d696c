"""What `python -m orchestrator.estimate` takes beyond what a launch and a SLURM job take."""

from dataclasses import dataclass, field

from orchestrator.slurm_config import SubmitConfig


@dataclass(kw_only=True, slots=True)
class EstimateFields:
    """What an estimate rests on, where this machine cannot say."""

    gpu: str | None = None
    """Which GPU: H100, H200, H20 or A800; null: what the earlier run, SLURM or this machine says."""
    gpus: int | None = None
    """How many in all; null: slurm.nodes × slurm.gpus_per_node with cluster=slurm, otherwise this machine's."""
    measured: str | None = None
    """Output folder of an earlier run, whose records are used; null: this batch's own."""


@dataclass(kw_only=True, slots=True)
class CostConfig:
    """What rendering costs."""

    gpu_hour: float | None = None
    """Price of one GPU for one hour, in any currency; null: money is left out."""


@dataclass(kw_only=True, slots=True)
class EstimateConfig(SubmitConfig):
    """Everything that `python -m orchestrator.estimate` takes."""

    estimate: EstimateFields = field(default_factory=EstimateFields)
    cost: CostConfig = field(default_factory=CostConfig)
    json: bool = False
    """Print everything as JSON."""
