"""Numbers of a batch, from what its gangs reply."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.artifacts import VideoFolder
from orchestrator.metrics import (
    FLUSH_SECONDS,
    FORECAST_ERROR,
    IDLE_SHARE,
    INSTRUMENTS,
    ROUND_SECONDS,
    ROUNDS,
    STAGE_SECONDS,
    VIDEOS,
    BatchMetrics,
    Kind,
    MeteredPool,
)
from orchestrator.pool import Command, GangReady, Reply
from orchestrator.reports import RoundReport, Stage, StageReport
from spectrum import Round
from tests.helpers.planning import refusal_of

PROJECT = Path(__file__).resolve().parents[2]
SEGMENT = StageReport(
    stage=Stage.DENOISE,
    seconds=1.5,
    rounds=(
        RoundReport(step=3, kind=Round.FULL, seconds=1.0, forecast_error=0.2),
        RoundReport(step=4, kind=Round.FORECAST, seconds=0.25),
        RoundReport(step=5, kind=Round.FORECAST, seconds=0.25),
    ),
    is_complete=False,
)


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.values = defaultdict(list)

    def record(self, instrument, value, tags) -> None:
        assert tuple(tags) == instrument.tags
        self.values[instrument, *tags.values()].append(value)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class OneGang:
    """A pool whose gang answers each command with the same report, at the time that the test says."""

    gangs, decoders = ("gang 0",), ()

    def __init__(self, clock: Clock) -> None:
        self.clock, self.events, self.closed = clock, [GangReady(gang="gang 0", nodes=("n",))], False

    def expect(self, num_videos: int) -> None:
        self.expected = num_videos

    def submit(self, gang, command, *, limit_seconds=None) -> None:
        self.events.append(Reply(gang=gang, report=SEGMENT))

    def next_event(self, timeout):
        return self.events.pop(0) if self.events else None

    def agree(self, flag):
        return flag

    def close(self):
        self.closed = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def metrics(kept, clock) -> BatchMetrics:
    return BatchMetrics(kept, clock=clock)


def test_rounds_seconds_and_errors_of_segments_are_added_up(metrics, kept):
    metrics.reported(SEGMENT)
    metrics.reported(SEGMENT)
    metrics.flush()
    assert kept.values[ROUNDS, "full"] == [2] and kept.values[ROUNDS, "forecast"] == [4]
    assert kept.values[ROUND_SECONDS, "full"] == [2.0] and kept.values[ROUND_SECONDS, "forecast"] == [1.0]
    assert kept.values[STAGE_SECONDS, "denoise"] == [3.0]
    assert kept.values[(FORECAST_ERROR,)] == [0.2, 0.2]


def test_an_error_that_is_not_finite_does_not_spoil_the_sum(metrics, kept):
    overflowed = RoundReport(step=6, kind=Round.FULL, seconds=1.0, forecast_error=float("nan"))
    metrics.reported(replace(SEGMENT, rounds=(overflowed, *SEGMENT.rounds)))
    metrics.flush()
    assert kept.values[ROUNDS, "full"] == [2]
    assert kept.values[(FORECAST_ERROR,)] == [0.2]


def test_nothing_is_given_out_twice(metrics, kept, clock):
    metrics.reported(SEGMENT)
    metrics.flush()
    clock.now += 2 * FLUSH_SECONDS
    metrics.flush()
    assert kept.values[ROUNDS, "full"] == [1]


def test_videos_are_counted_by_what_became_of_them(metrics, kept, tmp_path):
    metrics.video_done("gang 0", "aa", VideoFolder(tmp_path))
    metrics.video_failed("bb", "its rank died")
    metrics.flush()
    assert kept.values[VIDEOS, "done"] == [1] and kept.values[VIDEOS, "failed"] == [1]


def test_sink_is_asked_at_most_once_a_second_but_for_the_end(metrics, kept, clock):
    metrics.flush()
    metrics.reported(SEGMENT)
    clock.now += FLUSH_SECONDS / 2
    metrics.flush()
    assert not kept.values[ROUNDS, "full"]
    metrics.flush(at_once=True)
    assert kept.values[ROUNDS, "full"] == [1]


def test_gang_is_idle_from_its_reply_to_its_next_command(metrics, kept, clock):
    pool = MeteredPool(OneGang(clock), metrics)
    pool.next_event(0)
    clock.now += 1.0
    pool.submit("gang 0", Command("denoise"))
    clock.now += 3.0
    assert metrics.idle_shares() == {"gang 0": pytest.approx(0.25)}
    pool.next_event(0)
    clock.now += 4.0
    pool.next_event(0)
    assert kept.values[IDLE_SHARE, "gang 0"][-1] == pytest.approx(5 / 8)


def test_nothing_is_given_out_between_a_reply_and_the_next_command(metrics, kept, clock):
    """Where the gang waits."""
    pool = MeteredPool(OneGang(clock), metrics)
    pool.next_event(0)
    pool.submit("gang 0", Command("denoise"))
    clock.now += 10
    pool.next_event(0)
    assert not kept.values[ROUNDS, "full"]
    pool.submit("gang 0", Command("denoise"))
    clock.now += 10
    pool.next_event(0)
    assert kept.values[ROUNDS, "full"] == [1]


def test_pool_stays_what_it_was(metrics, clock):
    inner = OneGang(clock)
    pool = MeteredPool(inner, metrics)
    pool.expect(7)
    assert (pool.gangs, pool.decoders, pool.agree(True), inner.expected) == (("gang 0",), (), True, 7)
    pool.close()
    assert inner.closed


def test_sink_that_fails_is_given_up_and_the_batch_goes_on(clock, caplog):
    class Broken:
        calls = 0

        def record(self, instrument, value, tags):
            Broken.calls += 1
            raise OSError("the agent is gone")

    metrics = BatchMetrics(Broken(), clock=clock)
    for _ in range(3):
        metrics.reported(SEGMENT)
        clock.now += 5
        metrics.flush()
    assert Broken.calls == 1
    assert caplog.text.count("metrics are no longer given out: OSError: the agent is gone") == 1


def test_page_names_every_number_with_its_tags():
    """Ray puts its own prefix before each, and `_total` after counters."""
    page = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `ray_")}
    assert set(rows) == {f"ray_{one.name}{'_total' if one.kind is Kind.COUNTER else ''}" for one in INSTRUMENTS}
    for one in INSTRUMENTS:
        row = rows[f"ray_{one.name}{'_total' if one.kind is Kind.COUNTER else ''}"]
        assert f"| {one.kind.value} |" in row
        assert all(re.search(rf"`{tag}`", row) for tag in one.tags)


def test_metrics_without_ray_or_without_its_extras_are_refused(config, monkeypatch):
    config.cluster.metrics = True
    assert "cluster.metrics=true needs Ray" in refusal_of(config)
    config.cluster.kind = "local"
    monkeypatch.setattr("orchestrator.checks.find_spec", lambda name: None)
    assert "pip install 'spectrum-orchestrator[metrics]'" in refusal_of(config)
