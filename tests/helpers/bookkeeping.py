"""Gangs that do as they are told, keep books and render nothing, on a clock that tests move."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.checkpoint_store import generations, new_generation, publish_manifest
from orchestrator.launch_record import LaunchRecord
from orchestrator.policy import Policy, Stop
from orchestrator.pool import Command, Event, GangLost, GangReady, Reply
from orchestrator.progress import LogLines
from orchestrator.reports import RoundReport, Stage, StageReport
from orchestrator.scheduler import Scheduler
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress, Silent, Views

STAGES = {
    "prepare": Stage.ENCODE,
    "resume": Stage.DENOISE,
    "save_checkpoint": Stage.DENOISE,
    "keep_latents": Stage.DENOISE,
    "take_latents": Stage.DENOISE,
}
SECONDS = {"denoise": 1.0}
AFTERWARDS = "rank 0 on node died after it had done what it was told, and before it could say so"


@dataclass(kw_only=True)
class Gang:
    ready_at: float = 0.0
    is_ready: bool = False
    command: Command | None = None
    done_at: float = 0.0
    limit: float | None = None
    request: object = None
    step: int = 0
    fails: str | None = None
    log: list[Command] = field(default_factory=list)


class BookkeepingPool:
    """A pool whose gangs take a second for each segment of a virtual clock, and fail when they are told to."""

    def __init__(
        self,
        num_gangs: int,
        *,
        seed: int = 0,
        failures: dict[int, str] | None = None,
        num_decoders: int = 0,
        decode_seconds: float = 0.1,
    ) -> None:
        """`failures`: what becomes of the n-th command of all, such as "rank 1 died"."""
        self.decoders = tuple(f"decoder {index}" for index in range(num_decoders))
        self._seconds = {**SECONDS, "decode": decode_seconds}
        self.now = 0.0
        self.commands: dict[str, list[Command]] = defaultdict(list)
        self.most_busy = 0
        self.lost: list[str] = []
        self.loads = False
        self._random = random.Random(seed)
        self._gangs = {name: Gang() for name in [*(f"gang {index}" for index in range(num_gangs)), *self.decoders]}
        self._failures = dict(failures or {})
        self._count = 0

    @property
    def gangs(self) -> tuple[str, ...]:
        return tuple(name for name in self._gangs if name not in self.decoders)

    def clock(self) -> float:
        return self.now

    def agree(self, flag: bool) -> bool:
        return flag

    def share(self, value):
        return value

    def is_loading(self, names):
        return self.loads and any(not self._gangs[name].is_ready for name in names)

    def expect(self, num_videos: int) -> None:
        self.expected = num_videos

    def enlarge(self, gang: str) -> bool:
        return False

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        at = self._gangs[gang]
        assert at.is_ready and at.command is None, "a gang does one thing at a time"
        at.command = command
        at.done_at = self.now + self._seconds.get(command.method, 0.1) * self._random.uniform(0.9, 1.1)
        at.limit = limit_seconds
        self.commands[gang].append(command)
        self.most_busy = max(self.most_busy, sum(one.command is not None for one in self._gangs.values()))

    def next_event(self, timeout: float) -> Event | None:
        times = {
            name: one.done_at if one.is_ready else one.ready_at
            for name, one in self._gangs.items()
            if one.command is not None or not one.is_ready
        }
        if not times or min(times.values()) > self.now + timeout:
            self.now += timeout
            return None
        name = min(times, key=times.__getitem__)
        self.now = max(self.now, times[name])
        gang = self._gangs[name]
        if not gang.is_ready:
            gang.is_ready = True
            return GangReady(gang=name, nodes=("node",))
        command, gang.command = gang.command, None
        self._count += 1
        cause, gang.fails = gang.fails or self._failures.pop(self._count, None), None
        if cause is not None:
            gang.is_ready, gang.ready_at = False, self.now + 5.0
            self.lost.append(name)
            if cause == AFTERWARDS:
                self._do(gang, command)
                if command.method == "publish":  # the latents are removed last
                    (command.arguments[0] / "latents.safetensors").touch()
            return GangLost(gang=name, cause=cause, details="Traceback …")
        return Reply(gang=name, report=self._do(gang, command))

    def close(self) -> None:
        """Nothing is open."""

    def _do(self, gang: Gang, command: Command) -> StageReport:
        result = None
        match command.method:
            case "encode":
                _, gang.request = command.arguments
                gang.step = 0
            case "resume":
                _, gang.request, root = command.arguments
                gang.step = result = generations(root)[0].step
            case "denoise":
                return self._denoise(gang)
            case "save_checkpoint":
                [root] = command.arguments
                folder = new_generation(root)
                folder.mkdir(parents=True)
                publish_manifest(folder, step=gang.step, layout="one rank", files={})
            case "take_latents":
                result = True
            case "prepare":
                result = len(command.arguments[0])
            case "keep_latents":
                [root] = command.arguments
                root.mkdir(parents=True, exist_ok=True)
                (root / "latents.safetensors").touch()
            case "publish":
                root, _ = command.arguments
                root.mkdir(parents=True, exist_ok=True)
                (root / "video.mp4").write_text("rendered")
                (root / "video.json").write_text(json.dumps({}))
                (root / "latents.safetensors").unlink(missing_ok=True)
        stage = STAGES.get(command.method) or Stage(command.method)
        return StageReport(stage=stage, seconds=0.1, result=result)

    def _denoise(self, gang: Gang) -> StageReport:
        plan = gang.request.forecast.plan(gang.request.num_steps)
        first, gang.step = gang.step, plan.segment_end(gang.step)
        rounds = tuple(RoundReport(step=step, kind=plan[step], seconds=0.1) for step in range(first, gang.step))
        return StageReport(stage=Stage.DENOISE, seconds=0.1, rounds=rounds, is_complete=gang.step == len(plan))


PROVENANCE = Provenance(job_name="test", command="pytest", git_revision=None)


class Diary(Silent):
    """A view that remembers."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.at: list[tuple[str, GangProgress]] = []
        self.done: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []

    def batch_begins(self, *, total, done):
        self.begun = {"total": total, "done": done}

    def gang_at(self, gang, progress):
        self.at.append((gang, progress))

    def gang_lost(self, gang, cause):
        self.lost.append(cause)

    def video_done(self, gang, video_id, folder):
        assert folder.is_done
        self.done.append(video_id)

    def video_failed(self, video_id, cause):
        self.failed.append(video_id)


def render(pool, batch, run_folder, view=None, *, stop=None, priorities=None, **policy):
    scheduler = Scheduler(
        pool,
        batch,
        run_folder,
        PROVENANCE,
        # What people see is told as well: no order of events may be too much for it.
        Views(LogLines(len(pool.gangs), pool.decoders), LaunchRecord(run_folder, "all"), view or Silent()),
        policy=Policy(**policy),
        stop=stop or Stop(),
        priorities=priorities,
        clock=pool.clock,
    )
    return scheduler.run()


def finish(folder, *names: str) -> None:
    folder.root.mkdir(parents=True)
    for name in names:
        (folder.root / name).write_text("of before")


def methods(pool, gang: str = "gang 0") -> list[str]:
    return [command.method for command in pool.commands[gang]]


def begun_by(pool) -> list[str]:
    """Videos that any gang was told to begin from nothing."""
    return [
        command.arguments[0]
        for commands in pool.commands.values()
        for command in commands
        if command.method == "encode"
    ]
