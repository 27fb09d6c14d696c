"""Wall-time and array tasks that finish a batch."""

import pytest

from orchestrator.errors import BadInput
from orchestrator.estimate_slurm import MARGIN, estimate_slurm
from orchestrator.slurm_config import SlurmConfig
from orchestrator.slurm_time import parse_time


def estimate(*, time: str = "8h", num_videos: int = 1000, is_submitted: bool = False, **changes):
    given = {"num_gangs": 2, "video_seconds": 60.0, "batch_seconds": 30_100.0, "start_seconds": 100.0} | changes
    return estimate_slurm(SlurmConfig(time=time), num_videos=num_videos, is_submitted=is_submitted, **given)


def test_wall_time_of_one_task_leaves_a_margin_and_the_time_to_stop():
    made = estimate()
    assert made.wall_seconds >= MARGIN * 30_100 + 300
    assert made.wall_seconds - (MARGIN * 30_100 + 300) <= 1800
    assert parse_time(made.wall_time, "slurm.time") == made.wall_seconds


@pytest.mark.parametrize("num_videos", [1, 755, 756, 757, 10_000])
def test_tasks_are_as_many_as_finish_within_the_limit_and_no_more(num_videos):
    tasks = estimate(num_videos=num_videos).num_tasks
    usable = (8 * 3600 - 300) / MARGIN - 100
    most = 2 * int(usable // 60)  # videos of one task
    assert tasks * most >= num_videos > (tasks - 1) * most


def test_limit_that_is_too_short_for_one_video_is_refused_with_the_nearest():
    with pytest.raises(
        BadInput, match=r"slurm\.time=10m is too short for one video: 600 s.*nearest: slurm\.time="
    ) as no:
        estimate(time="10m", video_seconds=600.0, is_submitted=True)
    nearest = str(no.value).rpartition("=")[2]
    assert estimate(time=nearest, video_seconds=600.0, is_submitted=True).num_tasks == 500


def test_elsewhere_than_on_slurm_it_is_only_said():
    assert estimate(time="10m", video_seconds=600.0).num_tasks == 0


def test_nothing_left_needs_no_task():
    assert estimate(num_videos=0).num_tasks == 0
