"""How the benchmark of the overhead adds up; the whole of it on real actors, with short segments."""

import subprocess
import sys

import pytest

from benchmarks.overhead import gaps_of
from orchestrator.project import PROJECT


def test_gaps_are_between_segments_of_a_video_and_between_videos_of_a_gang():
    one = [[(0.0, 0.5), (0.51, 1.01)], [(1.11, 1.61)]]
    other = [[(5.0, 5.5), (5.52, 6.02)]]
    gaps = gaps_of([one, other])
    assert gaps.segments == pytest.approx([0.01, 0.02])
    assert gaps.videos == pytest.approx([0.1])
    assert gaps.busy == pytest.approx(2.5)
    assert gaps.segment_share == pytest.approx(0.03)
    assert gaps.video_share == pytest.approx(0.04)


def test_every_segment_of_every_gang_is_seen(command_environment):
    """In a process of its own, as Ray takes one token in the life of a process."""
    program = (
        "from benchmarks.overhead import measure; gaps = measure(num_gangs=1, seconds=0.3); "
        "print(len(gaps.segments), len(gaps.videos), min(gaps.segments))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=command_environment(PYTHONPATH=str(PROJECT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    num_segments, num_videos, shortest = done.stdout.split()
    assert (int(num_segments), int(num_videos)) == (2 * 13, 1)
    assert float(shortest) > 0
