"""The loop that both trainings share: synchronous, resumable, bounded by minutes or by steps."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tiny_wan import state
from tiny_wan.optimisation import FlatGradients, MovingAverage, Optimisers, learning_rate_factor

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 120.0
LOG_EVERY_STEPS = 50
GRADIENT_LIMIT = 10.0


@dataclass(kw_only=True, slots=True)
class Budget:
    """When a training is done: after so many minutes of training (over all resumes), or after so many steps.

    Minutes make good use of any machine; steps make a run repeatable to the last bit.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(f"give minutes or steps, one of the two, got {self.minutes!r} and {self.steps!r}")

    def progress(self, step: int, seconds: float) -> float:
        """Part of the budget that is used up, 0..1 and more."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return seconds / (60.0 * self.minutes) if self.minutes else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Where the training stands: what a task may depend on, besides its weights."""

    step: int
    progress: float
    rank: int
    num_workers: int

    def indices(self, batch: int) -> range:
        """Numbers of the `batch` samples that this worker takes in this step; no sample is taken twice."""
        first = (self.step * self.num_workers + self.rank) * batch
        return range(first, first + batch)


class Task(Protocol):
    """A model under training."""

    matrices: list[nn.Parameter]
    others: list[nn.Parameter]
    muon_rate: float
    adam_rate: float
    ema_decay: float

    def loss(self, moment: Moment) -> Tensor:
        """Loss of one step; a pure function of the weights, the moment and torch's seeded generator."""
        ...


class Trainer:
    """A task with its optimisers, its average and its place in the budget."""

    def __init__(self, task: Task, budget: Budget, path: Path) -> None:
        self.task, self.budget, self.path = task, budget, path
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.num_workers = dist.get_world_size() if dist.is_initialized() else 1
        self.parameters = [*task.matrices, *task.others]
        self.flat = FlatGradients(self.parameters, extra=2)
        self.optimisers = Optimisers(task.matrices, task.others, muon_rate=task.muon_rate, adam_rate=task.adam_rate)
        self.average = MovingAverage(self.parameters, task.ema_decay)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self._resume()

    def run(self) -> None:
        """Train until the budget is used up; rank 0 saves every two minutes and at the end."""
        saved = started = time.monotonic()
        before = self.seconds
        while self.budget.progress(self.step, self.seconds) < 1.0:
            self.train_step(before + time.monotonic() - started)
            if self.step % LOG_EVERY_STEPS == 0:
                self._report()
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()

    def train_step(self, seconds: float) -> None:
        """One update. `seconds` is this worker's clock; all workers then go by that of rank 0."""
        progress = self.budget.progress(self.step, self.seconds)
        moment = Moment(step=self.step, progress=progress, rank=self.rank, num_workers=self.num_workers)
        torch.manual_seed(1_000_003 * self.step + self.rank)
        self.flat.zero()
        loss = self.task.loss(moment)
        loss.backward()
        self.flat.extra[0] = loss.detach()
        self.flat.extra[1] = seconds * self.num_workers if self.rank == 0 else 0.0
        if self.num_workers > 1:
            dist.all_reduce(self.flat.buffer)
            self.flat.buffer.div_(self.num_workers)
        self.losses.append(float(self.flat.extra[0]))
        self.seconds = float(self.flat.extra[1])
        self.flat.clip(GRADIENT_LIMIT)
        self.optimisers.step(learning_rate_factor(self.step, progress))
        self.step += 1
        self.average.update(self.step)

    def save(self) -> None:
        """Rank 0 writes everything that a resume needs; all ranks hold the same."""
        if self.rank:
            return
        values: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "parameters": [p.detach() for p in self.parameters],
            "average": self.average.values,
            "optimisers": self.optimisers.state_dict(),
            "losses": self.losses[-1000:],
        }
        state.save(self.path, values)

    def _resume(self) -> None:
        values = state.load(self.path)
        if values is None:
            return
        with torch.no_grad():
            for own, saved in zip(self.parameters, values["parameters"], strict=True):
                own.copy_(saved)
        self.average.load(values["average"])
        self.optimisers.load_state_dict(values["optimisers"])
        self.step, self.seconds, self.losses = values["step"], values["seconds"], values["losses"]

    def _report(self) -> None:
        if self.rank == 0:
            recent = self.losses[-LOG_EVERY_STEPS:]
            log.info("step %d, %.1f minutes, loss %.4f", self.step, self.seconds / 60, sum(recent) / len(recent))


def load_average(task: Task, path: Path) -> int:
    """Put the averaged weights of a state file into a task's model.

    Returns:
        The number of steps they were trained for; 0, and the weights as they were, where there is no file.
    """
    values = state.load(path)
    if values is None:
        return 0
    with torch.no_grad():
        for own, saved in zip([*task.matrices, *task.others], values["average"], strict=True):
            own.copy_(saved)
    return int(values["step"])
