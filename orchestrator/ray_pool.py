"""Gangs as Ray actors: one placement group a gang, one actor a rank, one torch.distributed group inside.

A gang is built in steps, while the others work. One that is lost is killed whole and built again; while there is no
room for it, as after a node was lost, it waits in Ray's queue and comes back when there is.

Where the plan follows the cluster's nodes, gangs are added while videos wait and nodes have room for more, and one
whose room does not come back is let go. Otherwise it makes do with fewer ranks, until there is room for more again.
"""

import logging
from collections import deque
from collections.abc import Sequence
from math import inf
from time import monotonic, sleep
from typing import Any

import ray

from orchestrator.choices import ClusterKind
from orchestrator.cluster_room import left_beside, rank_resources
from orchestrator.errors import RayLost
from orchestrator.launch_plan import LaunchPlan, smaller_plan
from orchestrator.pool import Command, Event, GangLost, GangReady, Reply, decoder_names
from orchestrator.rank import RankActor
from orchestrator.ray_cluster import resources_of_nodes, unused_resources
from orchestrator.ray_gang import RankLost, RayGang, begin_decoder, begin_gang
from orchestrator.ray_processes import RayProcesses
from orchestrator.reports import StageReport
from orchestrator.room import Room, slots_of
from parallel.layout import Layout

log = logging.getLogger("orchestrator")

BEAT_SECONDS = 1.0
"""How often ranks are asked whether they are alive."""
SILENT_SECONDS = 3.0
"""How long a rank may owe the answer: one that froze just after an answer is given up within five seconds."""
CHECK_SECONDS = 0.25
"""How often the answers are looked through."""
START_SECONDS = 120.0
"""How long it may owe the first answer: its process has to be started, which Ray itself gives a minute."""
SILENT_SECONDS_LOADING = 30.0
"""The same while libraries are imported, GPUs are woken and the model is loaded, all of which may hold a process up;
doubled, up to START_SECONDS, whenever the gang has failed to be built: on some machines they do so for longer."""
PLACEMENT_SECONDS = 20.0
"""How long a gang that was lost waits for as much room as it had, before it makes do with less."""
MOST_FAILED_BUILDS = 3
"""Failures in a row to build a gang, after which there is a pause before the next trial."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 300.0
"""The first such pause, doubled each time, and the longest."""
LOOK_SECONDS = 3.0
"""How often the cluster's nodes are looked at for room: where gangs follow them, or one had to shrink."""
GROWTH_SECONDS = 600.0
"""How long a gang that was built anew for more ranks is let be, whatever becomes of it: others may take the room."""


class RayPool:
    """Gangs of rank actors. Ray must be up."""

    def __init__(self, plan: LaunchPlan, *, actor_class: type[RankActor] = RankActor) -> None:
        """Begin to build every gang, of such actors; each is ready for commands once an event has said so."""
        self._plan, self._actor_class = plan, actor_class
        self._gangs: dict[str, RayGang] = {}
        self._events: deque[Event] = deque()
        self._next_beat = self._next_check = self._next_look = monotonic()
        self._next_growth: dict[str, float] = {}
        self._failed_builds: dict[str, int] = {}
        self._num_videos = 0
        self._own_ray = RayProcesses() if plan.cluster.kind is ClusterKind.LOCAL else None
        self._decoders = decoder_names(plan.decoders.count)
        for index in range(plan.cluster.num_gangs):
            self._begin(f"gang {index}")
        for name in self._decoders:
            self._begin(name)

    @property
    def gangs(self) -> Sequence[str]:
        """Names of the gangs, ready or not."""
        return tuple(name for name in self._gangs if name not in self._decoders)

    @property
    def decoders(self) -> Sequence[str]:
        """Names of the decode workers, ready or not."""
        return self._decoders

    def expect(self, num_videos: int) -> None:
        """Take note of how many videos wait or are with gangs: so many gangs are of use."""
        self._num_videos = num_videos

    def enlarge(self, gang: str) -> bool:
        """Build a gang that had to shrink anew, between two videos, once the cluster has room for more of its ranks.

        Not for the last videos: loading the model takes minutes.
        """
        old, now = self._gangs[gang], monotonic()
        if old.layout.world_size >= self._plan.layout.world_size or self._num_videos <= len(self.gangs):
            return False
        if now < self._next_growth.get(gang, now) or any(self._gangs[name].waits_for_room for name in self.gangs):
            return False
        self._next_growth[gang] = now + LOOK_SECONDS
        most = old.layout.world_size + slots_of(unused_resources(), per_rank=old.per_rank)
        larger = self._largest_that_fits(self._plan, self._room_left(without=gang), most_ranks=most)
        if larger is None or larger.layout.world_size <= old.layout.world_size:
            return False
        self._next_growth[gang] = now + GROWTH_SECONDS
        log.info("%s  built anew: the cluster has room for %d ranks", gang, larger.layout.world_size)
        old.kill()
        self._begin(gang, larger, is_rebuilt=True)
        return True

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        """Let every rank of an idle gang begin."""
        self._gangs[gang].call(command)
        self._gangs[gang].deadline = None if limit_seconds is None else monotonic() + limit_seconds

    def next_event(self, timeout: float) -> Event | None:
        """Wait until something happens to some gang; None if nothing does within `timeout` seconds.

        Raises:
            RayLost: the Ray that this process has started is gone, and every gang with it.
        """
        end = monotonic() + timeout
        while not self._events:
            try:
                self._check_all()
                left = min(end, self._next_check) - monotonic()
                self._collect(max(left, 0.0))
            finally:  # whatever Ray's calls may have raised: this comes first
                self._check_ray()
            if monotonic() >= end:
                break
        return self._events.popleft() if self._events else None

    def is_loading(self, names: Sequence[str]) -> bool:
        """Whether ranks of one of these have been started and are not ready yet."""
        gangs = [gang for gang in self._gangs.values() if gang.name in names]
        return any(gang.building is not None and not gang.waits_for_room for gang in gangs)

    def agree(self, flag: bool) -> bool:
        """As given: no other process schedules the gangs."""
        return flag

    def share(self, value: Any) -> Any:
        """As given, likewise."""
        return value

    def close(self) -> None:
        """Kill every rank and give the room back."""
        if self._own_ray is not None:
            self._own_ray.close()
        for gang in self._gangs.values():
            gang.kill()
        self._gangs.clear()

    def layout_of(self, gang: str) -> Layout:
        """How the gang's ranks split a video: as asked for, or smaller where ranks were lost for good."""
        return self._gangs[gang].layout

    def _begin(self, name: str, plan: LaunchPlan | None = None, *, is_rebuilt: bool = False) -> None:
        begin = begin_decoder if name in self._decoders else begin_gang
        self._gangs[name] = begin(name, plan or self._plan, self._actor_class, is_rebuilt=is_rebuilt)

    def _check_ray(self) -> None:
        if self._own_ray is None:
            return
        try:
            self._own_ray.check()
        except RayLost:
            self._gangs.clear()  # nobody is there to ask for their end; they end with Ray
            raise

    def _collect(self, timeout: float) -> None:
        """Take the answers of ranks that have finished, or wait for the first."""
        gang_of = {reference: gang for gang in self._gangs.values() for reference in gang.pending}
        if not gang_of:
            sleep(timeout)
            return
        done, _ = ray.wait(list(gang_of), num_returns=1, timeout=timeout)
        for reference in done:
            self._take(gang_of[reference], reference)

    def _take(self, gang: RayGang, reference: Any) -> None:
        try:
            gang.take(reference)
            is_built = gang.building is not None and not gang.pending and gang.build_on()
        except RankLost as loss:
            self._lose(gang, loss)
            return
        if gang.pending:
            return
        if is_built:
            self._failed_builds.pop(gang.name, None)
            self._events.append(GangReady(gang=gang.name, nodes=tuple(dict.fromkeys(gang.nodes))))
            return
        report = gang.answers[0]
        assert isinstance(report, StageReport)
        gang.deadline = None
        self._events.append(Reply(gang=gang.name, report=report))

    def _check_all(self) -> None:
        """Look after every gang's ranks, now and then."""
        now = monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        is_beat = now >= self._next_beat
        if is_beat:
            self._next_beat = now + BEAT_SECONDS
        for gang in list(self._gangs.values()):
            if gang.begins_again is not None:
                if now >= gang.begins_again:
                    self._begin(gang.name, is_rebuilt=True)
                continue
            try:
                gang.check_health(silent_seconds=self._silent_seconds(gang), start_seconds=START_SECONDS)
                gang.check_deadline()
                if is_beat:
                    gang.ask_health()
            except RankLost as loss:
                self._lose(gang, loss)
            may_shrink = gang.is_rebuilt and gang.name not in self._decoders
            if gang.waits_for_room and may_shrink and monotonic() - gang.began > PLACEMENT_SECONDS:
                self._shrink(gang)
        if self._plan.cluster.follows_nodes and monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_SECONDS
            self._add_gangs()

    def _silent_seconds(self, gang: RayGang) -> float:
        """How long a rank of the gang may owe an answer."""
        if gang.building is None:
            return SILENT_SECONDS
        failed: int = self._failed_builds.get(gang.name, 0)
        return min(SILENT_SECONDS_LOADING * 2.0**failed, START_SECONDS)

    def _shrink(self, gang: RayGang) -> None:
        """Ask for less room, in the place of a gang for which there is none any more; or let it go."""
        smaller = smaller_plan(self._plan, gang.layout)
        fitting = self._largest_that_fits(smaller, self._room_left())
        if fitting is None and self._plan.cluster.follows_nodes:
            if any(self._gangs[name].has_place for name in self.gangs):
                log.info("%s  let go: the cluster has no room for it any more", gang.name)
                gang.kill()
                del self._gangs[gang.name]
        elif (plan := fitting or smaller) is not None:
            gang.kill()
            self._begin(gang.name, plan, is_rebuilt=True)

    def _add_gangs(self) -> None:
        """Begin further gangs, as large as planned or as one that had to shrink, while there are videos for them."""
        gangs = [self._gangs[name] for name in self.gangs]
        wanted = self._num_videos - len(gangs)
        if wanted < 1 or any(gang.waits_for_room for gang in gangs):
            return
        room = self._room_left()
        smallest = min((gang.layout.world_size for gang in gangs), default=1)
        plan: LaunchPlan | None = self._plan
        while plan is not None and plan.layout.world_size >= smallest:
            free = (name for index in range(len(gangs) + wanted) if (name := f"gang {index}") not in self._gangs)
            for name in list(free)[: min(wanted, self._places(room, plan))]:
                log.info("%s  added: the cluster has room for it", name)
                self._begin(name, plan)
            if len(self.gangs) > len(gangs):
                return
            plan = smaller_plan(self._plan, plan.layout)

    def _largest_that_fits(
        self, plan: LaunchPlan | None, room: Room, *, most_ranks: float = inf
    ) -> LaunchPlan | None:
        """The plan, or the first smaller one that has a place; None if not even one rank has."""
        while plan is not None and (plan.layout.world_size > most_ranks or not self._places(room, plan)):
            plan = smaller_plan(self._plan, plan.layout)
        return plan

    def _room_left(self, *, without: str | None = None) -> Room:
        """What the cluster's nodes have beside the ranks and decode workers that are there, or wait to be.

        Those of the gang `without` count as room.
        """
        cluster = self._plan.cluster
        others = [gang for name, gang in self._gangs.items() if name != without]
        taken = [(node, gang.per_rank) for gang in others for node in gang.node_ids]
        left = left_beside(resources_of_nodes(), taken, rank_resources(cluster.device, cluster.cpus_per_rank))
        waiting = sum(self._gangs[name].waits_for_room for name in self._decoders)
        return left.without(waiting) if self._plan.decoders.device is cluster.device else left

    @staticmethod
    def _places(room: Room, plan: LaunchPlan) -> int:
        return room.places(plan.layout.world_size, on_one_node=plan.cluster.keeps_to_node)

    def _lose(self, gang: RayGang, loss: RankLost) -> None:
        """Kill a gang whole, and build it again: at once, or later if that has failed again and again."""
        failed = self._failed_builds.get(gang.name, 0) + 1 if gang.building is not None else 0
        self._failed_builds[gang.name] = failed
        gang.kill()
        self._events.append(GangLost(gang=gang.name, cause=loss.cause, details=loss.details))
        if failed < MOST_FAILED_BUILDS:
            self._begin(gang.name, is_rebuilt=True)
        else:  # its node may have a broken GPU; each trial reads the whole model from the disk that all share
            pause = min(PAUSE_SECONDS * 2 ** (failed - MOST_FAILED_BUILDS), LONGEST_PAUSE_SECONDS)
            log.info("%s  failed %d times in a row to be built; the next time in %g s", gang.name, failed, pause)
            gang.begins_again = monotonic() + pause
