"""Gangs as Ray actors: one placement group a gang, one actor a rank, one torch.distributed group inside.

A gang is built in steps, while the others work. One that is lost is killed whole and built again; while there is no
room for it, as after a node was lost, it waits in Ray's queue and comes back when there is.
"""

from collections import deque
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

import ray

from orchestrator.choices import ClusterKind
from orchestrator.errors import RayLost
from orchestrator.launch_plan import LaunchPlan, smaller_plan
from orchestrator.pool import Command, Event, GangLost, GangReady, Reply, decoder_names
from orchestrator.ray_gang import RankLost, RayGang, begin_decoder, begin_gang
from orchestrator.ray_processes import RayProcesses
from orchestrator.reports import StageReport
from parallel.layout import Layout

BEAT_SECONDS = 1.0
"""How often ranks are asked whether they are alive."""
SILENT_SECONDS = 4.0
"""How long a rank may owe the answer."""
SILENT_SECONDS_BUILDING = 120.0
"""The same while libraries are imported and the model is loaded, which hold a process up."""
PLACEMENT_SECONDS = 20.0
"""How long a gang that was lost waits for as much room as it had, before it makes do with less."""


class RayPool:
    """Gangs of rank actors. Ray must be up."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Begin to build every gang; each is ready for commands once an event has said so."""
        self._plan = plan
        self._gangs: dict[str, RayGang] = {}
        self._events: deque[Event] = deque()
        self._next_beat = monotonic()
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
                left = min(end, self._next_beat) - monotonic()
                self._collect(max(left, 0.0))
            finally:  # whatever Ray's calls may have raised: this comes first
                self._check_ray()
            if monotonic() >= end:
                break
        return self._events.popleft() if self._events else None

    def agree(self, flag: bool) -> bool:
        """As given: no other process schedules the gangs."""
        return flag

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
        self._gangs[name] = begin(name, plan or self._plan, is_rebuilt=is_rebuilt)

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
        except RankLost as loss:
            self._lose(gang, loss)
            return
        if gang.pending:
            return
        if gang.building is None:
            report = gang.answers[0]
            assert isinstance(report, StageReport)
            gang.deadline = None
            self._events.append(Reply(gang=gang.name, report=report))
        elif next(gang.building, "ready") == "ready":
            gang.building = None
            self._events.append(GangReady(gang=gang.name, nodes=tuple(dict.fromkeys(gang.nodes))))

    def _check_all(self) -> None:
        """Look after every gang's ranks, once a second."""
        if monotonic() < self._next_beat:
            return
        self._next_beat = monotonic() + BEAT_SECONDS
        for gang in list(self._gangs.values()):
            silent_seconds = SILENT_SECONDS if gang.building is None else SILENT_SECONDS_BUILDING
            try:
                gang.check_health(silent_seconds=silent_seconds)
                gang.check_deadline()
                gang.ask_health()
            except RankLost as loss:
                self._lose(gang, loss)
            may_shrink = gang.is_rebuilt and gang.name not in self._decoders
            if gang.waits_for_room and may_shrink and monotonic() - gang.began > PLACEMENT_SECONDS:
                self._shrink(gang)

    def _shrink(self, gang: RayGang) -> None:
        """Ask for less room, in the place of a gang for which there is none any more."""
        smaller = smaller_plan(self._plan, gang.layout)
        if smaller is not None:
            gang.kill()
            self._begin(gang.name, smaller, is_rebuilt=True)

    def _lose(self, gang: RayGang, loss: RankLost) -> None:
        """Kill a gang whole, and build it again."""
        gang.kill()
        self._events.append(GangLost(gang=gang.name, cause=loss.cause, details=loss.details))
        self._begin(gang.name, is_rebuilt=True)
