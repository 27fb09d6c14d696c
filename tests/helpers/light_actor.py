"""Ranks without a model: for tests of where gangs are and when they come, not of what they render."""

import time
from collections.abc import Sequence

from orchestrator.rank import RankActor, RankSpec
from orchestrator.reports import Stage, StageReport


class LightWorker:
    """Takes the commands that a gang is built with, and one more."""

    def open_store(self, address: str) -> tuple[str, int]:
        return address, 0

    def join(self, rendezvous: tuple[str, int], address: str) -> None:
        pass

    def load(self) -> None:
        pass

    def prepare(self, texts: Sequence[str]) -> StageReport:
        if "hang" in texts:
            time.sleep(600)
        return StageReport(stage=Stage.ENCODE, seconds=0.0)


class LightActor(RankActor):
    """A rank that is ready as soon as its process is."""

    def make_worker(self, spec: RankSpec) -> LightWorker:
        return LightWorker()
