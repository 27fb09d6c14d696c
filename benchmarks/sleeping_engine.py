"""Ranks whose segments sleep, and that note when each began and ended; all else about them is the product's own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from orchestrator.engine import Engine
from orchestrator.rank import RankActor, RankSpec
from orchestrator.render_state import RenderState
from orchestrator.reports import RoundReport, StageReport
from orchestrator.worker import Worker

SEGMENT_SECONDS = 0.5
TIMES = "times-*.jsonl"


class SleepingEngine(Engine):
    """Takes half a second for every segment, and leaves the latents as they are."""

    def __init__(self, engine: Engine) -> None:
        """Has what a real engine has."""
        vars(self).update(vars(engine))
        self.times: list[tuple[float, float]] = []
        """Begin and end of each segment of the video under way, on the machine's monotonic clock."""

    def run_segment(self, state: RenderState) -> tuple[RoundReport, ...]:
        """Sleep."""
        begin, first = monotonic(), state.step
        sleep(SEGMENT_SECONDS)
        state.step = state.plan.segment_end(first)
        rounds = tuple(
            RoundReport(step=step, kind=state.plan[step], seconds=SEGMENT_SECONDS)
            for step in range(first, state.step)
        )
        state.rounds.extend(rounds)
        self.times.append((begin, monotonic()))
        return rounds


class SleepingWorker(Worker):
    """A worker with such an engine."""

    def load(self) -> None:
        """Load all that a worker loads."""
        super().load()
        if self._engine is not None:
            self._engine = SleepingEngine(self._engine)

    def keep_latents(self, folder: Path) -> StageReport:
        """End the denoising as ever, and write down when the video's segments were."""
        assert isinstance(self._engine, SleepingEngine)
        times = list(self._engine.times)
        self._engine.times.clear()
        report = super().keep_latents(folder)
        with (folder.parent / TIMES.replace("*", str(os.getpid()))).open("a", encoding="utf-8") as file:
            file.write(json.dumps(times) + "\n")
        return report


class SleepingActor(RankActor):
    """A rank with such a worker."""

    def make_worker(self, spec: RankSpec) -> Worker:
        """The worker that sleeps."""
        return SleepingWorker(spec)


def read_times(run: Path) -> Iterator[list[list[tuple[float, float]]]]:
    """For each gang, its videos in order, each with begin and end of its segments."""
    for file in sorted(run.glob(TIMES)):
        yield [[(begin, end) for begin, end in json.loads(line)] for line in file.read_text().splitlines()]
