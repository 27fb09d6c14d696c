"""Seconds, memory and rates of a device."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import torch

from orchestrator.stopwatch import Stopwatch

GIBIBYTE = 2**30


def time_calls(call: Callable[[], object], *, device: torch.device, repeats: int, warmups: int = 1) -> list[float]:
    """Seconds of each of `repeats` calls after `warmups` that are not timed; on a GPU by its own events."""
    for _ in range(warmups):
        call()
    watch = Stopwatch(device)
    for _ in range(repeats):
        with watch.lap():
            call()
    return watch.seconds()


class Ticker:
    """Seconds between the moments when a device reaches certain points of its work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def tick(self) -> None:
        """Mark a point."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)
        else:
            self._host.append(perf_counter())

    def intervals(self) -> list[float]:
        """Seconds from each point to the next, once the device has reached the last."""
        if self._device.type != "cuda":
            return [later - earlier for earlier, later in pairwise(self._host)]
        synchronize(self._device)
        return [earlier.elapsed_time(later) / 1000 for earlier, later in pairwise(self._events)]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(slots=True)
class Memory:
    """Bytes that tensors took on the device; None on a CPU, where nobody counts them."""

    peak: int | None = None
    """At most, everything together."""
    added: int | None = None
    """At most, above what was there at the start."""

    def __str__(self) -> str:
        if self.peak is None or self.added is None:
            return "memory not counted"
        return f"peak {self.peak / GIBIBYTE:.1f} GiB, of it {self.added / GIBIBYTE:.1f} for this"


@contextmanager
def watch_memory(device: torch.device) -> Iterator[Memory]:
    """The memory that is taken inside the block; filled in at its end."""
    memory = Memory()
    if device.type != "cuda":
        yield memory
        return
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    yield memory
    memory.peak = torch.cuda.max_memory_allocated(device)
    memory.added = memory.peak - before


def free_memory(device: torch.device) -> None:
    """Give back what nothing holds any more, also what an exception's frames held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def matmul_rate(
    rows: int, inner: int, columns: int, *, device: torch.device, dtype: torch.dtype, repeats: int
) -> float:
    """Operations a second of a matrix product of random numbers: the best of `repeats`."""
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(rows, inner, device=device, dtype=dtype, generator=generator)
    right = torch.randn(inner, columns, device=device, dtype=dtype, generator=generator)
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    seconds = time_calls(lambda: torch.mm(left, right, out=out), device=device, repeats=repeats, warmups=3)
    return 2 * rows * inner * columns / min(seconds)


class Copier:
    """Copies on the device: the fewest seconds in which so many bytes can be read and written."""

    def __init__(self, most_bytes: int, *, device: torch.device) -> None:
        """`most_bytes`: read and written together."""
        self._device = device
        self._source = torch.empty(most_bytes // 2, dtype=torch.uint8, device=device).random_()
        self._target = torch.empty_like(self._source)

    def seconds(self, num_bytes: int, *, repeats: int) -> float:
        """The best of `repeats` copies that read half of `num_bytes` and write the other half."""
        source, target = self._source[: num_bytes // 2], self._target[: num_bytes // 2]
        return min(time_calls(lambda: target.copy_(source), device=self._device, repeats=repeats))


def largest_difference(one: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest |one − reference|, over the largest |reference|."""
    difference = (one.float() - reference.float()).abs().max()
    return float(difference / reference.float().abs().max())
