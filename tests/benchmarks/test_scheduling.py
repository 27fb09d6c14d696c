"""The scheduler's benchmark: every video is done, urgent ones first, gangs are kept busy."""

import pytest

from benchmarks.scheduling import measure


@pytest.fixture(scope="module", params=[0.0, 0.01])
def measured(request):
    return measure(8, 300, request.param)


def test_every_video_is_done(measured):
    assert measured["done"] == measured["requests"]


def test_gangs_are_kept_busy_unless_they_are_lost(measured):
    assert measured["busy_share"] > (0.5 if measured["loss_share"] else 0.97)


def test_urgent_videos_begin_first(measured):
    assert measured["waited"]["1"] < 0.5 * measured["waited"]["0"]
