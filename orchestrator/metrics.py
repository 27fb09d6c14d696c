"""What a batch says of itself in numbers while it goes on. Knows no Ray and touches no rank.

`MeteredPool` stands around a pool, in the driver, and sees every command and reply; `BatchMetrics` turns them into
numbers. Names, kinds and units stand in `INSTRUMENTS`, and in docs/metrics.md.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from time import monotonic
from typing import Any, Protocol

from orchestrator.artifacts import VideoFolder
from orchestrator.pool import Command, Event, GangLost, GangReady, Pool, Reply
from orchestrator.reports import StageReport
from orchestrator.view import Silent

log = logging.getLogger("orchestrator")

FLUSH_SECONDS = 1.0
"""At least so long between two times that numbers are given out; Ray passes them on every ten seconds."""


class Kind(StrEnum):
    """How a number behaves."""

    COUNTER = "counter"  # only ever grows
    GAUGE = "gauge"  # the latest value counts
    HISTOGRAM = "histogram"  # how often which values came


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """One number that is given out."""

    name: str
    kind: Kind
    tags: tuple[str, ...]
    description: str
    """What it counts, and its unit."""
    boundaries: tuple[float, ...] = ()
    """Of a histogram."""


VIDEOS = Instrument(
    name="spectrum_videos",
    kind=Kind.COUNTER,
    tags=("outcome",),
    description="Videos that were published (done) or set aside (failed)",
)
ROUNDS = Instrument(
    name="spectrum_rounds",
    kind=Kind.COUNTER,
    tags=("kind",),
    description="Rounds that were run, full or forecast",
)
ROUND_SECONDS = Instrument(
    name="spectrum_round_seconds",
    kind=Kind.COUNTER,
    tags=("kind",),
    description="Seconds of these rounds, of the gang",
)
STAGE_SECONDS = Instrument(
    name="spectrum_stage_seconds",
    kind=Kind.COUNTER,
    tags=("stage",),
    description="Seconds that gangs and decode workers spent in encode, denoise, decode, publish",
)
FORECAST_ERROR = Instrument(
    name="spectrum_forecast_error",
    kind=Kind.HISTOGRAM,
    tags=(),
    description="Error of the forecast that each full round replaced, as a share of the features' norm",
    boundaries=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
)
IDLE_SHARE = Instrument(
    name="spectrum_gang_idle_share",
    kind=Kind.GAUGE,
    tags=("gang",),
    description="Share of the time since the gang was first ready in which it had nothing to do, 0 to 1",
)
INSTRUMENTS = (VIDEOS, ROUNDS, ROUND_SECONDS, STAGE_SECONDS, FORECAST_ERROR, IDLE_SHARE)


class Sink(Protocol):
    """Where numbers go."""

    def record(self, instrument: Instrument, value: float, tags: Mapping[str, str]) -> None:
        """Add to a counter, set a gauge, or observe in a histogram."""
        ...


class BatchMetrics(Silent):
    """Turns what happens in a batch into numbers.

    What it is told costs microseconds. Numbers are added up and given to the sink by `flush`, at most once a second.
    A sink that fails is not asked again, and the batch goes on.
    """

    def __init__(self, sink: Sink, *, clock: Callable[[], float] = monotonic) -> None:
        self._sink: Sink | None = sink
        self._clock = clock
        self._next_flush = clock()
        self._sums: defaultdict[tuple[Instrument, str], float] = defaultdict(float)
        self._observed: list[tuple[Instrument, float]] = []
        self._since: dict[str, float] = {}
        self._busy: defaultdict[str, float] = defaultdict(float)
        self._begun: dict[str, float] = {}

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Count it."""
        self._sums[VIDEOS, "done"] += 1

    def video_failed(self, video_id: str, cause: str) -> None:
        """Count it."""
        self._sums[VIDEOS, "failed"] += 1

    def begins(self, gang: str) -> None:
        """A gang begins a command."""
        now = self._clock()
        self._since.setdefault(gang, now)
        self._begun[gang] = now

    def rests(self, gang: str) -> None:
        """A gang is ready, has finished its command, or was lost."""
        now = self._clock()
        self._since.setdefault(gang, now)
        self._busy[gang] += now - self._begun.pop(gang, now)

    def reported(self, report: StageReport) -> None:
        """A gang has finished a stage or a segment."""
        self._sums[STAGE_SECONDS, report.stage.value] += report.seconds
        for one in report.rounds:
            self._sums[ROUNDS, one.kind.value] += 1
            self._sums[ROUND_SECONDS, one.kind.value] += one.seconds
            if one.forecast_error is not None and isfinite(one.forecast_error):  # NaN would spoil the sum for good
                self._observed.append((FORECAST_ERROR, one.forecast_error))

    def idle_shares(self) -> dict[str, float]:
        """By gang, the share of the time since it was first ready in which it had nothing to do."""
        now = self._clock()
        shares = {}
        for gang, since in self._since.items():
            busy = self._busy[gang] + now - self._begun.get(gang, now)
            shares[gang] = min(max(1 - busy / (now - since), 0.0), 1.0) if now > since else 0.0
        return shares

    def flush(self, *, at_once: bool = False) -> None:
        """Give the sink what has come together, unless it had something within the last second."""
        if self._sink is None or (self._clock() < self._next_flush and not at_once):
            return
        self._next_flush = self._clock() + FLUSH_SECONDS
        sums, observed = self._sums, self._observed
        self._sums, self._observed = defaultdict(float), []
        try:
            for (instrument, tag), value in sums.items():
                self._sink.record(instrument, value, dict.fromkeys(instrument.tags, tag))
            for instrument, value in observed:
                self._sink.record(instrument, value, {})
            for gang, share in self.idle_shares().items():
                self._sink.record(IDLE_SHARE, share, {"gang": gang})
        except Exception as error:  # whatever a collector does, it must not cost a video
            self._sink = None
            log.warning("metrics are no longer given out: %s: %s", type(error).__name__, error)


class MeteredPool:
    """A pool that tells metrics what its gangs do. Numbers leave while gangs are at work, not between commands."""

    def __init__(self, pool: Pool, metrics: BatchMetrics) -> None:
        self._pool = pool
        self._metrics = metrics

    @property
    def gangs(self) -> Sequence[str]:
        """The pool's."""
        return self._pool.gangs

    @property
    def decoders(self) -> Sequence[str]:
        """The pool's."""
        return self._pool.decoders

    def expect(self, num_videos: int) -> None:
        """As the pool does."""
        self._pool.expect(num_videos)

    def enlarge(self, gang: str) -> bool:
        """As the pool does."""
        return self._pool.enlarge(gang)

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        """As the pool does."""
        self._metrics.begins(gang)
        self._pool.submit(gang, command, limit_seconds=limit_seconds)

    def next_event(self, timeout: float) -> Event | None:
        """As the pool does."""
        self._metrics.flush()
        event = self._pool.next_event(timeout)
        match event:
            case Reply():
                self._metrics.rests(event.gang)
                self._metrics.reported(event.report)
            case GangReady() | GangLost():
                self._metrics.rests(event.gang)
        return event

    def is_loading(self, names: Sequence[str]) -> bool:
        """As the pool does."""
        return self._pool.is_loading(names)

    def share(self, value: Any) -> Any:
        """As the pool does."""
        return self._pool.share(value)

    def agree(self, flag: bool) -> bool:
        """As the pool does."""
        return self._pool.agree(flag)

    def close(self) -> None:
        """As the pool does."""
        self._pool.close()
