"""A rank as others see it: what it is, and how to reach the worker inside. Light: imports no model library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.choices import Device
from orchestrator.devices import hide_gpus
from orchestrator.launch_plan import LaunchPlan, ModelSpec
from orchestrator.pool import Command, run_command
from parallel.layout import AttentionEngine, Layout
from spectrum import Method


@dataclass(frozen=True, kw_only=True, slots=True)
class RankSpec:
    """What one rank is."""

    rank: int
    layout: Layout
    engine: AttentionEngine
    uneven: bool
    """Whether the tokens do not divide by the slices."""
    shard_blocks: bool
    decode_parallel: bool
    """Whether all ranks decode together; else rank 0 alone."""
    embeddings: Path
    """Folder of the prompt embeddings."""
    model: ModelSpec
    device: Device
    device_index: int
    """GPU among those that this process sees."""
    num_threads: int
    """CPU threads."""
    loads_decoder: bool
    """Whether this gang decodes its videos itself."""
    decodes_only: bool = False
    """Whether this is a decode worker, which has no part of the transformer."""
    forecasts: bool = True
    """Whether some video has forecast rounds."""


def rank_spec(plan: LaunchPlan, rank: int, *, device_index: int = 0) -> RankSpec:
    """What a rank of the plan's gangs is.

    Args:
        plan: of the launch.
        rank: within its gang.
        device_index: GPU among those that its process sees; Ray shows each actor its own only.
    """
    return RankSpec(
        rank=rank,
        layout=plan.layout,
        engine=plan.engine,
        uneven=plan.is_uneven,
        shard_blocks=plan.shard_blocks,
        decode_parallel=plan.decode_parallel,
        embeddings=plan.run_folder.embeddings,
        model=plan.model,
        device=plan.cluster.device,
        device_index=device_index,
        num_threads=plan.cluster.cpus_per_rank,
        loads_decoder=not plan.decoders.count,
        forecasts=any(one.request.forecast.method is not Method.NONE for one in plan.entries.values()),
    )


class RankActor:
    """A worker in a process of its own.

    The worker's libraries (diffusers, transformers) take seconds to import. They are imported by `start`, in the
    rank's process, where they are used, and not by whoever starts it; meanwhile the rank answers that it is alive.
    """

    def __init__(self, spec: RankSpec) -> None:
        if spec.device is Device.CPU:
            hide_gpus()
        self._spec = spec
        self._worker: Any = None

    def start(self) -> None:
        """Make the worker: to be called once, before any command."""
        self._worker = self.make_worker(self._spec)

    def make_worker(self, spec: RankSpec) -> Any:
        """What does the rank's work; a benchmark's actor has another."""
        from orchestrator.worker import Worker  # noqa: PLC0415

        return Worker(spec)

    def do(self, command: Command) -> Any:
        """Call the worker's method; what it returns."""
        return run_command(self._worker, command)

    def beat(self) -> None:
        """Answer, as a sign of life."""
