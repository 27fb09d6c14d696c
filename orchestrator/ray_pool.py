"""Gangs as Ray actors: one placement group a gang, one actor a rank, one torch.distributed group inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.choices import ClusterKind, Device
from orchestrator.errors import GangFailed
from orchestrator.launch_plan import LaunchPlan
from orchestrator.pool import Command, Reply
from orchestrator.rank import RankActor, RankSpec
from orchestrator.reports import StageReport

PLACEMENT_TIMEOUT_SECONDS = 60
CAUSE_SECONDS = 3
"""How long the death of another rank is waited for, once a rank has raised."""


@dataclass(kw_only=True, slots=True)
class _Gang:
    name: str
    placement: PlacementGroup
    actors: list[Any]
    """Actor handles, by rank."""
    pending: dict[Any, int]
    """Rank by the reference of its unfinished call."""
    answers: dict[int, Any]
    """What the finished ranks have returned."""


class RayPool:
    """Gangs of rank actors. Ray must be up."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Build every gang and load the model on all ranks at once.

        Raises:
            GangFailed: there is no room for a gang, or a rank failed.
        """
        self._gangs: dict[str, _Gang] = {}
        try:
            for index in range(plan.cluster.num_gangs):
                gang = _build(f"gang {index}", plan)
                self._gangs[gang.name] = gang
            for gang in self._gangs.values():
                _form_group(gang, local=plan.cluster.kind is ClusterKind.LOCAL)
            for gang in self._gangs.values():
                _call(gang, Command("load"))
            while any(gang.pending for gang in self._gangs.values()):
                self._collect_one()
        except BaseException:
            self.close()
            raise

    @property
    def gangs(self) -> Sequence[str]:
        """Names of the gangs."""
        return tuple(self._gangs)

    def nodes(self, gang: str) -> Sequence[str]:
        """Host names."""
        names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
        placed = placement_group_table(self._gangs[gang].placement)["bundles_to_node_id"]
        return tuple(dict.fromkeys(names[node] for node in placed.values()))

    def submit(self, gang: str, command: Command) -> None:
        """Let every rank of an idle gang begin."""
        _call(self._gangs[gang], command)

    def next_reply(self) -> Reply:
        """Wait until every rank of some gang has finished its command.

        Raises:
            GangFailed: a rank died or raised. Its siblings, which may wait for it in a collective, are killed.
        """
        while True:
            gang = self._collect_one()
            if not gang.pending:
                report = gang.answers[0]
                assert isinstance(report, StageReport)
                return Reply(gang=gang.name, report=report)

    def close(self) -> None:
        """Kill every rank and give the room back."""
        for gang in self._gangs.values():
            _kill(gang)
        self._gangs.clear()

    def _collect_one(self) -> _Gang:
        """Take the answer of whichever rank finishes next; its gang."""
        gang_of = {reference: gang for gang in self._gangs.values() for reference in gang.pending}
        [reference], _ = ray.wait(list(gang_of), num_returns=1)
        gang = gang_of[reference]
        _take_answer(gang, reference)
        return gang


def _build(name: str, plan: LaunchPlan) -> _Gang:
    cluster, layout = plan.cluster, plan.layout
    on_gpu = cluster.device is Device.CUDA
    bundle = {"CPU": float(cluster.cpus_per_rank)} | ({"GPU": 1.0} if on_gpu else {})
    placement = placement_group([bundle] * layout.world_size, strategy="PACK")
    if not placement.wait(PLACEMENT_TIMEOUT_SECONDS):
        state = placement_group_table(placement)["state"]
        remove_placement_group(placement)
        raise GangFailed(
            f"{name}: no room for {layout.world_size} ranks of {bundle} within {PLACEMENT_TIMEOUT_SECONDS} s "
            f"(placement group {state}); free resources: {ray.available_resources()}"
        )
    # A rank that restarts alone is useless to its gang: the gang is rebuilt whole.
    actor_class = ray.remote(max_restarts=0, max_task_retries=0)(RankActor)
    actors = [
        actor_class.options(
            num_cpus=cluster.cpus_per_rank,
            num_gpus=1 if on_gpu else 0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(placement, placement_group_bundle_index=rank),
        ).remote(
            RankSpec(
                rank=rank,
                layout=layout,
                engine=plan.engine,
                uneven=plan.is_uneven,
                shard_blocks=plan.shard_blocks,
                decode_parallel=plan.decode_parallel,
                embeddings=plan.run_folder.embeddings,
                model=plan.model,
                device=cluster.device,
                device_index=0,  # Ray shows each actor its own GPU only
                num_threads=cluster.cpus_per_rank,
            )
        )
        for rank in range(layout.world_size)
    ]
    return _Gang(name=name, placement=placement, actors=actors, pending={}, answers={})


def _form_group(gang: _Gang, *, local: bool) -> None:
    """Let the ranks find each other through a store that rank 0 opens on a free port."""
    if len(gang.actors) == 1:
        return
    addresses = ["127.0.0.1"] * len(gang.actors) if local else _addresses(gang)
    opened = gang.actors[0].do.remote(Command("open_store", (addresses[0],)))
    gang.pending = {opened: 0}
    _take_answer(gang, opened)
    rendezvous = gang.answers[0]
    gang.pending = {
        actor.do.remote(Command("join", (rendezvous, address))): rank
        for rank, (actor, address) in enumerate(zip(gang.actors, addresses, strict=True))
    }
    while gang.pending:
        [reference], _ = ray.wait(list(gang.pending), num_returns=1)
        _take_answer(gang, reference)


def _addresses(gang: _Gang) -> list[str]:
    """Each rank's node address."""
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    placed = placement_group_table(gang.placement)["bundles_to_node_id"]
    return [nodes[placed[rank]] for rank in range(len(gang.actors))]


def _call(gang: _Gang, command: Command) -> None:
    assert not gang.pending, f"{gang.name} is busy"
    gang.answers = {}
    gang.pending = {actor.do.remote(command): rank for rank, actor in enumerate(gang.actors)}


def _take_answer(gang: _Gang, reference: Any) -> None:
    rank = gang.pending.pop(reference)
    try:
        gang.answers[rank] = ray.get(reference)
    except (RayActorError, RayTaskError) as error:
        cause = _first_cause(gang, rank, error)
        _kill(gang)
        raise GangFailed(f"{gang.name} failed: {cause}") from error


def _first_cause(gang: _Gang, rank: int, error: Exception) -> str:
    """What broke the gang: a sibling of a rank that died fails as well, and may be heard of first."""
    if isinstance(error, RayActorError):
        return f"rank {rank} died: {_one_line(error)}"
    others, _ = (
        ray.wait(list(gang.pending), num_returns=len(gang.pending), timeout=CAUSE_SECONDS)
        if gang.pending
        else ([], [])
    )
    for reference in others:
        try:
            ray.get(reference)
        except RayActorError as death:
            return f"rank {gang.pending[reference]} died: {_one_line(death)}"
        except RayTaskError:
            continue
    return f"rank {rank} failed: {error}"


def _one_line(error: Exception) -> str:
    """What Ray says first; pages of advice follow."""
    return str(error).strip().splitlines()[0]


def _kill(gang: _Gang) -> None:
    for actor in gang.actors:
        ray.kill(actor)
    gang.pending = {}
    remove_placement_group(gang.placement)
