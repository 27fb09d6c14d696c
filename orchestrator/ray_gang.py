"""One gang of Ray actors: how it is built, step by step, and what its ranks answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.choices import ClusterKind, Device
from orchestrator.cluster_room import rank_resources
from orchestrator.launch_plan import ClusterSpec, LaunchPlan
from orchestrator.pool import Command
from orchestrator.rank import RankActor, RankSpec, rank_spec
from parallel.layout import Layout

HEALTH = "health"
"""Concurrency group in which a rank answers that it is alive, whatever else it does."""
CAUSE_SECONDS = 3
"""How long the death of another rank is waited for, once a rank has raised."""


class RankLost(Exception):
    """A rank died or raised."""

    def __init__(self, cause: str, details: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.details = details


@dataclass(kw_only=True, slots=True)
class RayGang:
    """Actors of one gang and what they are doing."""

    name: str
    placement: PlacementGroup
    actors: list[Any] = field(default_factory=list)
    """Actor handles, by rank."""
    nodes: list[str] = field(default_factory=list)
    """Name of each rank's machine."""
    node_ids: list[str] = field(default_factory=list)
    """What Ray calls each rank's node; of a gang that was killed and rests, whose place is kept, the last ones."""
    per_rank: dict[str, float]
    """What Ray has reserved for each rank."""
    pending: dict[Any, int] = field(default_factory=dict)
    """Rank by the reference of its unfinished call."""
    answers: dict[int, Any] = field(default_factory=dict)
    """What the finished ranks have returned."""
    building: Iterator[None] | None = None
    """Steps that are left until the gang is ready; None once it is."""
    layout: Layout
    began: float = field(default_factory=monotonic)
    """When its room was asked for."""
    is_rebuilt: bool = False
    """Whether it stands in for one that was lost."""
    deadline: float | None = None
    """When the command under way is taken for hung."""
    begins_again: float | None = None
    """When it is built again, of a gang that was killed and had failed to be built several times."""
    beats: dict[Any, tuple[int, float]] = field(default_factory=dict)
    """Rank and time of the questions whether it is alive that are not answered yet."""
    awake: set[int] = field(default_factory=set)
    """Ranks that have answered once: their processes are up."""

    @property
    def waits_for_room(self) -> bool:
        """Whether the cluster has not given it its place yet."""
        return self.building is not None and not self.actors

    @property
    def has_place(self) -> bool:
        """Whether its ranks have been started."""
        return bool(self.actors)

    def call(self, command: Command) -> None:
        """Let every rank begin."""
        assert not self.pending, f"{self.name} is busy"
        self.answers = {}
        self.pending = {actor.do.remote(command): rank for rank, actor in enumerate(self.actors)}

    def build_on(self) -> bool:
        """Take the next step that is left; whether that was all, and the gang is ready.

        Raises:
            RankLost: a rank's node is gone, or Ray cannot do it.
        """
        assert self.building is not None and not self.pending
        try:
            if next(self.building, "ready") != "ready":
                return False
        except RayError as error:
            raise RankLost(f"could not be built: {type(error).__name__}: {_one_line(error)}", str(error)) from error
        self.building = None
        return True

    def take(self, reference: Any) -> None:
        """Take a finished rank's answer.

        Raises:
            RankLost: it died or raised.
        """
        rank = self.pending.pop(reference)
        try:
            self.answers[rank] = ray.get(reference)
        except RayError as error:
            raise self._loss(rank, error) from error

    def ask_health(self) -> None:
        """Ask every rank that owes no answer whether it is alive."""
        owing = {rank for rank, _ in self.beats.values()}
        for rank, actor in enumerate(self.actors):
            if rank not in owing:
                asked = actor.beat.options(concurrency_group=HEALTH).remote()
                self.beats[asked] = (rank, monotonic())

    def check_health(self, *, silent_seconds: float, start_seconds: float) -> None:
        """Look through the answers.

        Raises:
            RankLost: a rank died, or owes an answer for longer than `silent_seconds`; the first answer, for which its
                process has to be started, for longer than `start_seconds`.
        """
        answered, _ = ray.wait(list(self.beats), num_returns=len(self.beats), timeout=0) if self.beats else ([], [])
        for reference in answered:
            rank, _ = self.beats.pop(reference)
            try:
                ray.get(reference)
            except RayError as error:
                raise self._loss(rank, error) from error
            self.awake.add(rank)
        for rank, asked in self.beats.values():
            limit = silent_seconds if rank in self.awake else start_seconds
            if monotonic() - asked > limit:
                raise RankLost(f"{self._place(rank)} has been silent for {limit:g} s")

    def check_deadline(self) -> None:
        """Raises RankLost where the command under way takes longer than it may."""
        if self.deadline is not None and self.pending and monotonic() > self.deadline:
            ranks = ", ".join(self._place(rank) for rank in sorted(self.pending.values()))
            raise RankLost(f"{ranks} hangs: far longer at one command than any took before, or for hours")

    def kill(self) -> None:
        """End every rank and give the room back."""
        for actor in self.actors:
            ray.kill(actor)
        self.actors = []
        self.pending, self.beats, self.building = {}, {}, None
        self.awake = set()
        remove_placement_group(self.placement)

    def _place(self, rank: int) -> str:
        return f"rank {rank} on {self.nodes[rank]}" if self.nodes else f"rank {rank}"

    def _loss(self, rank: int, error: Exception) -> RankLost:
        """What broke the gang: a sibling of a rank that died fails as well, and may be heard of first."""
        if isinstance(error, RayActorError):
            return RankLost(f"{self._place(rank)} died: {_one_line(error)}")
        others, _ = (
            ray.wait(list(self.pending), num_returns=len(self.pending), timeout=CAUSE_SECONDS)
            if self.pending
            else ([], [])
        )
        for reference in others:
            try:
                ray.get(reference)
            except RayActorError as death:
                return RankLost(f"{self._place(self.pending[reference])} died: {_one_line(death)}")
            except RayError:
                continue
        # What the rank has raised; otherwise what became of Ray's task.
        cause = getattr(error, "cause", None) or error
        reason = f"{type(cause).__name__}: {cause}"
        return RankLost(f"{self._place(rank)} failed: {reason.strip().splitlines()[0]}", str(error))


def begin_gang(
    name: str, plan: LaunchPlan, actor_class: type[RankActor] = RankActor, *, is_rebuilt: bool = False
) -> RayGang:
    """Ask for a gang's room; its steps lead on from there as each of them is done."""
    specs = [rank_spec(plan, rank) for rank in range(plan.layout.world_size)]
    return _begin(name, plan, specs, actor_class, is_rebuilt=is_rebuilt)


def begin_decoder(
    name: str, plan: LaunchPlan, actor_class: type[RankActor] = RankActor, *, is_rebuilt: bool = False
) -> RayGang:
    """Ask for the room of a decode worker: a gang of one rank that has no transformer."""
    alone = replace(plan, layout=Layout(), shard_blocks=False, decode_parallel=False, cluster=_decoder_cluster(plan))
    spec = replace(rank_spec(alone, 0), loads_decoder=True, decodes_only=True)
    return _begin(name, alone, [spec], actor_class, is_rebuilt=is_rebuilt)


def _decoder_cluster(plan: LaunchPlan) -> ClusterSpec:
    return replace(plan.cluster, device=plan.decoders.device)


def _begin(
    name: str, plan: LaunchPlan, specs: Sequence[RankSpec], actor_class: type[RankActor], *, is_rebuilt: bool
) -> RayGang:
    bundle = rank_resources(plan.cluster.device, plan.cluster.cpus_per_rank)
    strategy = "STRICT_PACK" if plan.cluster.keeps_to_node else "PACK"
    placement = placement_group([bundle] * len(specs), strategy=strategy)
    gang = RayGang(name=name, layout=plan.layout, placement=placement, per_rank=bundle, is_rebuilt=is_rebuilt)
    gang.pending = {placement.ready(): 0}
    gang.building = _build(gang, plan, specs, actor_class)
    return gang


def _build(
    gang: RayGang, plan: LaunchPlan, specs: Sequence[RankSpec], actor_class: type[RankActor]
) -> Iterator[None]:
    """One step whenever the calls of the last one are answered: actors, libraries, process group, model."""
    machines = _machines(gang, len(specs))
    gang.nodes = [machine["NodeManagerHostname"] for machine in machines]
    gang.node_ids = [machine["NodeID"] for machine in machines]
    # A rank that restarts alone is useless to its gang: the gang is rebuilt whole.
    options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "concurrency_groups": {HEALTH: 1}}
    remote_class: Any = ray.remote(**options)(actor_class)
    gang.actors = [
        remote_class.options(
            num_cpus=plan.cluster.cpus_per_rank,
            num_gpus=1 if plan.cluster.device is Device.CUDA else 0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                gang.placement, placement_group_bundle_index=spec.rank
            ),
        ).remote(spec)
        for spec in specs
    ]
    gang.pending = {actor.start.remote(): rank for rank, actor in enumerate(gang.actors)}
    yield
    if len(specs) > 1:
        is_local = plan.cluster.kind is ClusterKind.LOCAL
        addresses = ["127.0.0.1" if is_local else machine["NodeManagerAddress"] for machine in machines]
        # A store that rank 0 opens on a free port, through which the ranks find each other.
        gang.pending = {gang.actors[0].do.remote(Command("open_store", (addresses[0],))): 0}
        yield
        rendezvous = gang.answers[0]
        gang.pending = {
            actor.do.remote(Command("join", (rendezvous, address))): rank
            for rank, (actor, address) in enumerate(zip(gang.actors, addresses, strict=True))
        }
        yield
    gang.call(Command("load"))
    yield


def _machines(gang: RayGang, world_size: int) -> list[dict[str, Any]]:
    """What Ray knows of each rank's node.

    Raises:
        RankLost: a node has died since the gang was given its place.
    """
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    placed = placement_group_table(gang.placement)["bundles_to_node_id"]
    for rank in range(world_size):
        if placed.get(rank) not in nodes:
            raise RankLost(f"the node of rank {rank} was lost before the rank began")
    return [nodes[placed[rank]] for rank in range(world_size)]


def _one_line(error: Exception) -> str:
    """What Ray says first; pages of advice follow."""
    return str(error).strip().splitlines()[0]
