"""One fault: what it hit, what was lost with it, and when work went on."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.fault_launch import LOST, PROGRESS, READY, Launch, Line, Work, newest_kept
from orchestrator.artifacts import RunFolder

_STEP = re.compile(r"denoise  step (\d+)/")
_ALL_LOST = "all gangs with it"


@dataclass(kw_only=True, slots=True)
class Hit:
    """What a gang or decode worker had at hand when a fault came."""

    video_id: str
    seconds: float
    """Of work since it began, or since what is on the disk was written."""
    kept_step: int | None
    """The step that the video can go on from; None where it is denoised."""
    step: int | None = None
    """First step of the segment under way; of the driver's and Ray's faults as of a second before at most."""

    @classmethod
    def of(cls, work: Work, run: Path, *, at: float, step: int | None) -> "Hit":
        """By what is on the disk."""
        folder = RunFolder(run).video(work.video_id)
        kept = newest_kept(folder)
        since = max(work.began, kept.at if kept else 0.0)
        seconds = 0.0 if folder.is_done else max(at - since, 0.0)
        return cls(video_id=work.video_id, seconds=seconds, kept_step=kept.step if kept else 0, step=step)


@dataclass(kw_only=True, slots=True)
class Fault:
    """One process that was killed or frozen."""

    target: str
    signal: str
    at: float
    """Seconds of the wall clock; of a driver that was frozen, when it was let go on."""
    stage: str
    """The victim's own; of the driver and of Ray's programs, that of the ranks: the first of several."""
    hits: dict[str, Hit] = field(default_factory=dict)
    """By gang or decode worker: of all, until it is known which were lost."""
    seconds_to_resume: float | None = None
    """Until what was lost was at work again; infinite where that was not seen."""

    @property
    def is_harmless(self) -> bool:
        """Whether nothing is lost: the driver was frozen, and went on."""
        return self.target == "driver" and self.signal == "SIGSTOP"

    @property
    def seconds_lost(self) -> float:
        """Of the gang that lost most."""
        return 0.0 if self.is_harmless else max((hit.seconds for hit in self.hits.values()), default=0.0)

    @property
    def steps(self) -> list[int]:
        """First steps of the segments that were hit."""
        return sorted(hit.step for hit in self.hits.values() if hit.step is not None and hit.kept_step is not None)

    @property
    def steps_lost(self) -> int:
        """Denoising steps before the segment under way that must be taken again, of the gang that lost most."""
        pairs = [(hit.step, hit.kept_step) for hit in self.hits.values()]
        lost = [step - kept for step, kept in pairs if step is not None and kept is not None]
        return 0 if self.is_harmless else max([0, *lost])

    def describe(self) -> str:
        """One line."""
        steps = f" in the segment from step {', '.join(map(str, self.steps))}" if self.steps else ""
        resumed = "–" if self.seconds_to_resume is None else f"{self.seconds_to_resume:.1f} s"
        return (
            f"{self.signal} {self.target:<13} at {self.stage + steps:<45} at work again after {resumed:>6}, "
            f"lost {self.seconds_lost:.1f} s ({self.steps_lost} steps)"
        )


def search_resumption(fault: Fault, launch: Launch, run: Path) -> bool:
    """Look in the launch's log for when work went on after the fault, and note it in the fault; whether it did."""
    after = [line for line in list(launch.lines) if line.at > fault.at]
    is_later_launch = launch.began > fault.at
    if not is_later_launch and not fault.is_harmless:
        after = _after_loss(fault, after)
    wanted = {hit.video_id for hit in fault.hits.values() if hit.video_id}
    wanted = {video_id for video_id in wanted if not RunFolder(run).video(video_id).is_done or fault.is_harmless}
    for line in after:
        progress, ready = PROGRESS.search(line.text), READY.search(line.text)
        is_work = progress is not None and (progress[2] in wanted or not wanted)
        if is_work or (fault.is_harmless and progress) or (ready and not wanted and ready[1] in fault.hits):
            fault.seconds_to_resume = line.at - fault.at
            return True
    return False


def _after_loss(fault: Fault, lines: list[Line]) -> list[Line]:
    """The lines after the one that says what was lost, by which it becomes known; none before that."""
    for index, line in enumerate(lines):
        if lost := LOST.search(line.text):
            gang = lost[1]
            fault.target = "decode worker" if gang.startswith("decoder") else fault.target
            nothing = Hit(video_id="", seconds=0.0, kept_step=None)
            if fault.target in ("rank", "decode worker"):
                hit = fault.hits.get(gang, nothing)
                step = _STEP.search(line.text)
                fault.hits = {gang: replace(hit, step=int(step[1]) if step else hit.step)}
            return lines[index + 1 :]
        if _ALL_LOST in line.text:
            return lines[index + 1 :]
    return []
