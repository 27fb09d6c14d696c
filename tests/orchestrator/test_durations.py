"""Seconds as people read them."""

import pytest

from orchestrator.durations import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (60, "1:00"),
        (187, "3:07"),
        (3599.6, "1:00:00"),
        (8100, "2:15:00"),
        (360_000, "100:00:00"),
    ],
)
def test_seconds_are_written_for_people(seconds, text):
    assert format_seconds(seconds) == text
