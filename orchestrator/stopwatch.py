"""Seconds of work on a device, without waiting for the device in the middle of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch


class Stopwatch:
    """Times consecutive pieces of work: `with watch.lap(): …`, then `watch.seconds()`.

    On a GPU the times are those of the GPU, taken from events; only `seconds` waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host: list[float] = []
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Time one piece of work."""
        if self._device.type == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            yield
            end.record()
            self._events.append((start, end))
        else:
            begin = perf_counter()
            yield
            self._host.append(perf_counter() - begin)

    def seconds(self) -> list[float]:
        """Seconds of each lap so far; on a GPU, once it has finished them."""
        if self._device.type != "cuda":
            return list(self._host)
        torch.cuda.synchronize(self._device)
        return [start.elapsed_time(end) / 1000 for start, end in self._events]
