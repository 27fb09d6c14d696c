"""Gangs that render nothing, on a clock that moves as fast as the scheduler lets it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from time import perf_counter
from typing import Any

from orchestrator.artifacts import VideoFolder
from orchestrator.pool import Command, Event, GangLost, GangReady, Reply
from orchestrator.reports import RoundReport, Stage, StageReport
from orchestrator.request import Request
from spectrum import Plan, Round

STAGES = {
    "prepare": Stage.ENCODE,
    "encode": Stage.ENCODE,
    "decode": Stage.DECODE,
    "publish": Stage.PUBLISH,
}
REBUILD_SECONDS = 10.0


@dataclass(kw_only=True, slots=True)
class _Gang:
    request: Request | None = None
    plan: Plan | None = None
    step: int = 0
    command: Command | None = None
    busy_seconds: float = 0.0


class VirtualPool:
    """A pool whose gangs take drawn times; now and then one of them is lost."""

    def __init__(
        self, num_gangs: int, *, segment_seconds: float, stage_seconds: float, loss_share: float = 0.0, seed: int = 0
    ) -> None:
        """`loss_share`: of the commands, how many end with the loss of the gang."""
        self.now = 0.0
        self.num_commands = 0
        self.file_seconds = 0.0
        """Of real time, spent on the files of finished videos, which stand for the ranks' own."""
        self._gangs = {f"gang {index}": _Gang() for index in range(num_gangs)}
        self._events: list[tuple[float, int, str, bool]] = []
        self._random = random.Random(seed)
        self._order = 0
        self._segment_seconds, self._stage_seconds, self._loss_share = segment_seconds, stage_seconds, loss_share
        for name in self._gangs:
            self._push(self._random.uniform(0, 1), name, is_ready=True)

    @property
    def gangs(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._gangs)

    @property
    def busy_share(self) -> float:
        """Share of the gangs' time in which they did something."""
        return sum(gang.busy_seconds for gang in self._gangs.values()) / (self.now * len(self._gangs))

    @property
    def decoders(self) -> tuple[str, ...]:
        """None."""
        return ()

    def clock(self) -> float:
        """The virtual time in seconds."""
        return self.now

    def agree(self, flag: bool) -> bool:
        """As given."""
        return flag

    def share(self, value: Any) -> Any:
        """As given."""
        return value

    def is_loading(self, names: Sequence[str]) -> bool:
        """Gangs are there from the beginning."""
        return False

    def expect(self, num_videos: int) -> None:
        """There are as many gangs as at first."""

    def enlarge(self, gang: str) -> bool:
        """No: all are as large as at first."""
        return False

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        """Note when it will be done."""
        del limit_seconds
        mean = self._segment_seconds if command.method == "denoise" else self._stage_seconds
        seconds = mean * self._random.uniform(0.8, 1.2)
        self._gangs[gang].command = command
        self._gangs[gang].busy_seconds += seconds
        self._push(self.now + seconds, gang, is_ready=False)

    def next_event(self, timeout: float) -> Event | None:
        """The next one; the clock jumps to it."""
        if not self._events or self._events[0][0] > self.now + timeout:
            self.now += timeout
            return None
        self.now, _, name, is_ready = heappop(self._events)
        if is_ready:
            return GangReady(gang=name, nodes=("virtual",))
        gang = self._gangs[name]
        command, gang.command = gang.command, None
        assert command is not None
        self.num_commands += 1
        if self._random.random() < self._loss_share:
            self._push(self.now + REBUILD_SECONDS, name, is_ready=True)
            return GangLost(gang=name, cause="rank 0 on virtual died", details="")
        return Reply(gang=name, report=self._do(gang, command))

    def close(self) -> None:
        """Nothing is open."""

    def _push(self, at: float, gang: str, *, is_ready: bool) -> None:
        self._order += 1
        heappush(self._events, (at, self._order, gang, is_ready))

    def _do(self, gang: _Gang, command: Command) -> StageReport:
        if command.method == "encode":
            _, request = command.arguments
            gang.request, gang.plan, gang.step = request, request.forecast.plan(request.num_steps), 0
        if command.method == "publish":
            self._publish(VideoFolder(command.arguments[0]))
        if command.method != "denoise":
            stage = STAGES.get(command.method, Stage.DENOISE)
            result = len(command.arguments[0]) if command.method == "prepare" else None
            return StageReport(stage=stage, seconds=self._stage_seconds, result=result)
        assert gang.plan is not None
        first, gang.step = gang.step, gang.plan.segment_end(gang.step)
        rounds = tuple(
            RoundReport(step=step, kind=Round.FULL if step == first else Round.FORECAST, seconds=0.0)
            for step in range(first, gang.step)
        )
        return StageReport(stage=Stage.DENOISE, seconds=0.0, rounds=rounds, is_complete=gang.step == len(gang.plan))

    def _publish(self, folder: VideoFolder) -> None:
        begin = perf_counter()
        folder.root.mkdir(parents=True, exist_ok=True)
        folder.video.touch()
        folder.sidecar.touch()
        self.file_seconds += perf_counter() - begin
