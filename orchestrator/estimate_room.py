"""What a batch would run on: said on the command line, by an earlier run, by SLURM, or by this machine."""

from dataclasses import dataclass

import psutil

from orchestrator.choices import AUTO, ClusterKind, Device, choose, choose_or_auto
from orchestrator.devices import count_cpus, count_gpus, gpu_model
from orchestrator.errors import BadInput
from orchestrator.estimate_config import EstimateConfig
from orchestrator.measured_times import MeasuredRun
from orchestrator.room import Room
from orchestrator.slurm_query import NoSlurm, SlurmRefused, slurm_state
from parallel.hardware import NETWORKS, chip_called

_GPUS = ", ".join(sorted(chip.name for chip in NETWORKS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a batch would be rendered."""

    device: Device
    room: Room
    is_slurm: bool
    """Whether it is a job that orchestrator.submit would hand in."""
    basis: str
    """Who says so."""


def find_place(config: EstimateConfig, measured: MeasuredRun | None) -> Place:
    """What the batch would run on. Joins no cluster and touches no GPU.

    Raises:
        BadInput: nobody says how many GPUs there are, or which.
    """
    kind = choose(ClusterKind, config.cluster.kind, "cluster.kind")
    is_slurm = kind is ClusterKind.RAY and config.cluster.address is None
    device = _device(config, is_slurm=is_slurm)
    if config.estimate.gpus is not None and config.estimate.gpus < 1:
        raise BadInput(f"estimate.gpus={config.estimate.gpus} must be at least 1")
    if device is Device.CPU:
        nodes = _cpu_nodes(config, is_slurm=is_slurm)
        return Place(device=device, room=Room(nodes=nodes), is_slurm=is_slurm, basis="CPU cores")
    nodes, who_counts = _gpu_nodes(config, kind, is_slurm=is_slurm)
    gpu, who_names = _gpu(config, measured, is_slurm=is_slurm)
    return Place(
        device=device,
        room=Room(nodes=nodes, gpu_type=gpu),
        is_slurm=is_slurm,
        basis=f"{sum(nodes)} × {gpu}: number from {who_counts}, kind from {who_names}",
    )


def node_memory_bytes() -> int:
    """Of this machine's main memory."""
    return int(psutil.virtual_memory().total)


def _device(config: EstimateConfig, *, is_slurm: bool) -> Device:
    estimate, wanted = config.estimate, config.cluster.device
    device = choose_or_auto(Device, wanted, "cluster.device")
    if device is None:
        says_gpu = estimate.gpu or estimate.gpus or (config.slurm.gpus_per_node if is_slurm else count_gpus())
        device = Device.CUDA if config.model.needs_gpu or says_gpu else Device.CPU
    if device is Device.CPU and config.model.needs_gpu:
        raise BadInput(
            f"model={config.model.name} needs a GPU, and cluster.device={wanted}: take cluster.device={AUTO}"
        )
    if device is Device.CPU and (estimate.gpu or estimate.gpus):
        raise BadInput(f"estimate.gpu and estimate.gpus are for GPUs, and cluster.device={wanted}")
    return device


def _cpu_nodes(config: EstimateConfig, *, is_slurm: bool) -> tuple[int, ...]:
    per_rank = config.cluster.cpus_per_rank
    if is_slurm:
        return (max((config.slurm.cpus_per_node or per_rank) // per_rank, 1),) * config.slurm.nodes
    return (max(count_cpus() // per_rank, 1),)


def _gpu_nodes(config: EstimateConfig, kind: ClusterKind, *, is_slurm: bool) -> tuple[tuple[int, ...], str]:
    """GPUs of each node, and who says so."""
    slurm, given = config.slurm, config.estimate.gpus
    if given is not None:
        each = slurm.gpus_per_node or 8
        whole, rest = divmod(given, each)
        return (each,) * whole + ((rest,) if rest else ()), f"estimate.gpus, {each} a node (slurm.gpus_per_node)"
    if is_slurm:
        return (slurm.gpus_per_node,) * slurm.nodes, "slurm.nodes and slurm.gpus_per_node"
    if kind is ClusterKind.RAY:
        raise BadInput("estimate.gpus is not set: an estimate joins no Ray cluster, so say how many GPUs it has")
    if not count_gpus():
        raise BadInput(
            "estimate.gpus is not set, and this machine has no GPU that this process may use: say how many GPUs "
            "there will be, or take cluster=slurm"
        )
    return (count_gpus(),), "this machine"


def _gpu(config: EstimateConfig, measured: MeasuredRun | None, *, is_slurm: bool) -> tuple[str, str]:
    """Name of the GPU, as one of those that there are figures for, and who says so."""
    given = config.estimate.gpu
    if given is not None:
        chip = chip_called(given)
        if chip is None:
            raise BadInput(f"estimate.gpu={given} must be one of: {_GPUS}")
        return chip.name, "estimate.gpu"
    said = [(device, f"the records of {measured.folder.name}") for device in measured.devices] if measured else []
    if is_slurm:
        said += [(gpu, "SLURM") for gpu in _slurm_gpus(config)]
    elif config.estimate.gpus is None:
        said += [(gpu_model() or "", "this machine's driver")]
    for name, who in said:
        chip = chip_called(name)
        if chip is not None:
            return chip.name, who
    names = ", ".join(name for name, _ in said if name) or "nobody says what they are"
    raise BadInput(f"estimate.gpu is not set ({names}): say which GPUs, one of: {_GPUS}")


def _slurm_gpus(config: EstimateConfig) -> list[str]:
    """Kinds of GPUs that SLURM knows in the job's partition; none where it cannot be asked."""
    try:
        state = slurm_state()
    except (NoSlurm, SlurmRefused):
        return []
    wanted = config.slurm.partition
    return [node.gpu_type for node in state.nodes if node.gpu_type and (wanted is None or wanted in node.partitions)]
