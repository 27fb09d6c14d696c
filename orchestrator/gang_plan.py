"""The gangs of a launch: as they were asked for, or as many and as large as what there is has room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.checks import check_room
from orchestrator.choices import ClusterKind, Device, choose
from orchestrator.config import LaunchConfig
from orchestrator.cost_model import cost_model, loads_of
from orchestrator.devices import count_cpus, count_gpus, gpu_model
from orchestrator.errors import BadInput
from orchestrator.gang_choice import Objective, choose_gangs
from orchestrator.gang_layout import Kinds, is_float32_on_gpu, layout_of
from orchestrator.request import Request
from orchestrator.room import Room, most_gangs
from parallel.layout import AttentionEngine, Layout

AskRoom = Callable[[Device], Room]
"""Asks a cluster what it has for ranks on such a device.

Raises:
    BadInput: it cannot be joined.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class GangPlan:
    """Gangs, and what becomes of them while a batch is rendered."""

    num_gangs: int
    layout: Layout
    shard_blocks: bool
    because: str = ""
    """Why, for people; nothing where it was asked for."""
    follows_nodes: bool = False
    """Whether gangs are added and let go as the cluster's nodes come and go."""
    keeps_to_node: bool = False
    """Whether the ranks of a gang have to be on one node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Videos:
    """What a launch is to render."""

    kinds: Kinds
    """Of the whole batch."""
    requests: Sequence[Request]
    """Of the whole batch, other shards' and finished ones too: what gangs are like does not change as it goes on."""
    num_own: int
    """Of this launch's shard."""
    num_waiting: int
    """Of these, how many are not finished."""


def plan_gangs(
    config: LaunchConfig,
    videos: Videos,
    kind: ClusterKind,
    device: Device,
    *,
    model_folder: Path,
    encodes_on_gpu: bool,
    gpu_decoders: int,
    torchrun_world_size: int,
    ask_room: AskRoom | None,
) -> GangPlan:
    """Gangs for the videos.

    Args:
        config: of the launch.
        videos: that it renders.
        kind: where the ranks run.
        device: of the ranks.
        model_folder: in diffusers format.
        encodes_on_gpu: whether a rank's GPU holds the text encoder at first.
        gpu_decoders: GPUs that decode workers take.
        torchrun_world_size: ranks that torchrun has started.
        ask_room: asks the Ray cluster that is to be joined; None where it cannot be asked yet.

    Raises:
        BadInput: there is no room for the gangs, no layout fits, or fields do not go together.
    """
    cluster = config.cluster
    objective = None if config.job.objective is None else choose(Objective, config.job.objective, "job.objective")
    if objective is not None:
        _check_goes_with(config, kind, objective)
    room = _room(config, kind, device, ask_room)
    if room is not None and device is Device.CUDA:
        room = room.without(gpu_decoders)
    if objective is None or room is None:
        layout = layout_of(config, videos.kinds, kind, device, torchrun_world_size=torchrun_world_size, room=room)
        gangs = GangPlan(num_gangs=1, layout=layout, shard_blocks=config.parallel.shard_blocks)
    else:
        costs = replace(
            cost_model(
                model_folder=model_folder,
                num_text_tokens=config.model.max_sequence_length,
                device=device,
                room=room,
                cpus_per_rank=cluster.cpus_per_rank,
            ),
            engine=choose(AttentionEngine, config.parallel.engine, "parallel.engine"),
            is_float32_on_gpu=is_float32_on_gpu(config, device),
            text_encoder_bytes=_text_encoder_bytes(model_folder) if encodes_on_gpu else 0.0,
            decode_parallel=config.decode.parallel,
            has_decoders=config.decode.workers > 0,
        )
        choice = choose_gangs(
            room,
            loads_of(videos.requests),
            costs,
            objective=objective,
            num_gangs=cluster.num_gangs,
            num_videos=videos.num_own,
            shard_blocks=config.parallel.shard_blocks,
        )
        gangs = GangPlan(num_gangs=1, layout=choice.layout, shard_blocks=choice.shard_blocks, because=choice.because)
    gangs = _count(gangs, config, kind, room, num_waiting=videos.num_waiting)
    check_room(cluster, kind, device, num_gangs=gangs.num_gangs, layout=gangs.layout)
    return gangs


def _check_goes_with(config: LaunchConfig, kind: ClusterKind, objective: Objective) -> None:
    parallel = config.parallel
    degrees = {"ranks": parallel.ranks, "cfg": parallel.cfg, "ring": parallel.ring, "ulysses": parallel.ulysses}
    given = [f"parallel.{name}={degree}" for name, degree in degrees.items() if degree is not None]
    if given:
        raise BadInput(
            f"job.objective={objective} chooses the layout, which {' '.join(given)} gives already: take "
            "parallel=auto, or job.objective=null"
        )
    if kind is ClusterKind.NONE:
        raise BadInput(
            f"job.objective={objective} needs Ray (cluster=local or cluster=ray): with cluster=none there is one "
            "gang, of the ranks that torchrun has started"
        )


def _room(config: LaunchConfig, kind: ClusterKind, device: Device, ask_room: AskRoom | None) -> Room | None:
    """What there is for ranks; None where nothing depends on it, or where nobody knows yet."""
    cluster, parallel = config.cluster, config.parallel
    match kind:
        case ClusterKind.NONE:
            return None
        case ClusterKind.LOCAL if device is Device.CUDA:
            return Room(nodes=(count_gpus(),), gpu_type=gpu_model())
        case ClusterKind.LOCAL:
            return Room(nodes=(count_cpus() // cluster.cpus_per_rank,))
    says_all = cluster.num_gangs is not None and config.job.objective is None
    has_layout = any((parallel.ranks, parallel.cfg, parallel.ring, parallel.ulysses)) or device is Device.CPU
    return None if ask_room is None or (says_all and has_layout) else ask_room(device)


def _count(
    gangs: GangPlan, config: LaunchConfig, kind: ClusterKind, room: Room | None, *, num_waiting: int
) -> GangPlan:
    """The same gangs, as many as were asked for or as have room. One at least: what has no room is refused later."""
    asked = config.cluster.num_gangs
    follows = kind is ClusterKind.RAY and asked is None
    if asked is not None or room is None:
        return replace(gangs, num_gangs=asked or 1, follows_nodes=follows)
    ranks = gangs.layout.world_size
    fitting = room.gangs_that_fit(ranks)
    number = max(most_gangs(room, ranks, num_videos=num_waiting), 1)
    because = gangs.because
    if not because and number == fitting:
        because = "as many as have room"
    elif not because and number < fitting:
        because = f"one for each video; {fitting} would have room"
    return replace(
        gangs,
        num_gangs=number,
        because=because,
        follows_nodes=follows,
        keeps_to_node=follows and ranks <= room.ranks_per_node,
    )


def _text_encoder_bytes(model_folder: Path) -> float:
    return float(sum(file.stat().st_size for file in (model_folder / "text_encoder").glob("*.safetensors")))
