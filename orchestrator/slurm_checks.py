"""Checks of a job before it is submitted: what would only come out after hours in the queue."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.choices import choose
from orchestrator.errors import BadInput
from orchestrator.room import Room
from orchestrator.shared_folder import is_networked, mount_of
from orchestrator.slurm_config import SlurmConfig
from orchestrator.slurm_query import Node, Partition, SlurmState
from orchestrator.slurm_time import format_time, parse_time

MOST_TMP_LETTERS = 28
"""A socket's path has at most 107 bytes; the job's own folder takes 15 of them, Ray up to 64."""


class SharedFolder(StrEnum):
    """What is done about an output folder that does not look shared."""

    WARN = "warn"
    ERROR = "error"
    OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobShape:
    """Ranks and nodes of one job, or of one task of an array."""

    nodes: int
    ranks_per_node: int
    ranks_per_gang: int
    cpus_per_rank: int
    gpus_per_node: int
    decoders_per_node: int = 0
    """Decode workers on the CPU that each node has cores for, beside its ranks; each has as many as a rank."""
    gpu_decoders: int = 0
    """Decode workers of the job that take a GPU from the ranks each."""

    @property
    def cpus_per_node(self) -> int:
        """CPU cores that the ranks and decode workers of a node need."""
        return (self.ranks_per_node + self.decoders_per_node) * self.cpus_per_rank

    @property
    def num_gangs(self) -> int:
        """As many as fit."""
        room = Room(nodes=(self.ranks_per_node,) * self.nodes).without(self.gpu_decoders)
        return room.gangs_that_fit(self.ranks_per_gang)


def check_settings(slurm: SlurmConfig) -> int:
    """Check what needs no SLURM; the time limit in seconds.

    Raises:
        BadInput: a field is out of range, or two do not go together.
    """
    for name in ("nodes", "cpus_per_node", "array", "array_at_once", "signal_seconds", "join_seconds"):
        value = getattr(slurm, name)
        if value is not None and value < 1:
            raise BadInput(f"slurm.{name}={value} must be at least 1")
    for name in ("gpus_per_node", "driver_restarts"):
        if getattr(slurm, name) < 0:
            raise BadInput(f"slurm.{name}={getattr(slurm, name)} must be at least 0")
    if slurm.array_at_once is not None and slurm.array is None:
        raise BadInput(f"slurm.array_at_once={slurm.array_at_once} needs slurm.array, the number of tasks")
    choose(SharedFolder, slurm.shared_folder, "slurm.shared_folder")
    if not slurm.tmp.startswith("/") or len(slurm.tmp) > MOST_TMP_LETTERS:
        raise BadInput(
            f"slurm.tmp={slurm.tmp} must be an absolute path of at most {MOST_TMP_LETTERS} characters: Ray's sockets "
            "lie below it, and the system allows them 107"
        )
    seconds = parse_time(slurm.time, "slurm.time")
    if seconds <= slurm.signal_seconds:
        raise BadInput(
            f"slurm.time={slurm.time} is not more than slurm.signal_seconds={slurm.signal_seconds}, the time before "
            "the limit at which the job stops"
        )
    return seconds


def check_shape(shape: JobShape, *, num_gangs: int) -> None:
    """Raises BadInput where the nodes have no room for the gangs that were asked for.

    Args:
        shape: of the job.
        num_gangs: as asked for; 0 is as many as fit.
    """
    if num_gangs <= shape.num_gangs and shape.num_gangs:
        return
    what = f"slurm.gpus_per_node={shape.gpus_per_node}"
    if not shape.gpus_per_node:
        what = f"slurm.cpus_per_node={shape.cpus_per_node}, cluster.cpus_per_rank={shape.cpus_per_rank}"
    if shape.gpu_decoders:
        what += f", decode.workers={shape.gpu_decoders} on GPUs of their own,"
    if shape.decoders_per_node:
        what += f", {shape.decoders_per_node} of decode.workers on each,"
    raise BadInput(
        f"slurm.nodes={shape.nodes} with {what} have room for {shape.num_gangs} gangs of {shape.ranks_per_gang} "
        f"ranks, not for {max(num_gangs, 1)} (cluster.num_gangs)"
    )


def check_cluster_has(slurm: SlurmConfig, state: SlurmState, *, cpus_per_node: int, seconds: int) -> list[Node]:
    """The nodes that the job may run on.

    Raises:
        BadInput: there is no such partition, it has too few nodes of the kind, or gives less time.
    """
    partition = _partition(slurm.partition, state)
    if partition.max_time not in ("infinite", "n/a") and seconds > parse_time(partition.max_time, "MaxTime"):
        raise BadInput(
            f"slurm.time={slurm.time} is more than partition {partition.name} gives: {partition.max_time} "
            f"(asked for: {format_time(seconds)})"
        )
    nodes = [node for node in state.nodes if partition.name in node.partitions]
    if slurm.nodes > len(nodes):
        raise BadInput(f"slurm.nodes={slurm.nodes} is more than partition {partition.name} has: {len(nodes)}")
    with_gpus = [node for node in nodes if node.num_gpus >= slurm.gpus_per_node]
    if len(with_gpus) < slurm.nodes:
        most = max(node.num_gpus for node in nodes)
        raise BadInput(
            f"slurm.gpus_per_node={slurm.gpus_per_node} on slurm.nodes={slurm.nodes}: partition {partition.name} has "
            f"{len(with_gpus)} nodes with so many GPUs; the most on one of its nodes is {most}"
        )
    fitting = [node for node in with_gpus if node.num_cpus >= cpus_per_node]
    if len(fitting) < slurm.nodes:
        raise BadInput(
            f"{cpus_per_node} CPU cores on each of slurm.nodes={slurm.nodes} (slurm.cpus_per_node, "
            f"cluster.cpus_per_rank): partition {partition.name} has {len(fitting)} such nodes; the most on one is "
            f"{max(node.num_cpus for node in with_gpus)}"
        )
    return fitting


def check_shared(folder: Path, what: SharedFolder) -> str | None:
    """A warning where the output folder does not look shared by the nodes; None where it does.

    Only the job can know: it asks each node for a file in the folder when it starts.

    Raises:
        BadInput: it does not look shared, and that was asked to be an error.
    """
    mount = mount_of(folder)
    if what is SharedFolder.OFF or is_networked(mount):
        return None
    line = (
        f"output={folder} lies on {mount.point} ({mount.kind}), which does not look like a file system that all "
        "nodes share; a node that does not see the folder is not used"
    )
    if what is SharedFolder.ERROR:
        raise BadInput(line)
    return f"{line} (slurm.shared_folder=off says that it is)"


def _partition(name: str | None, state: SlurmState) -> Partition:
    known = {partition.name: partition for partition in state.partitions}
    if name is None:
        default = next((partition for partition in state.partitions if partition.is_default), None)
        if default is None:
            raise BadInput(f"slurm.partition is not set and this cluster has no default: one of {', '.join(known)}")
        return default
    if name not in known:
        raise BadInput(f"slurm.partition={name} is not one of this cluster's: {', '.join(known)}")
    return known[name]
