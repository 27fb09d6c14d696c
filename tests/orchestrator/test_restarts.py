"""Restarts that bring nothing are counted; any progress begins the count anew."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.restarts import MOST_STALLS, RunProgress, count_restart, run_progress


@pytest.fixture
def run(tmp_path):
    (tmp_path / "ab12").mkdir()
    (tmp_path / "slurm").mkdir()
    return tmp_path


def start(run, count: int) -> int:
    return count_restart(run / "slurm" / "r.json", restart_count=count, progress=run_progress(run)).stalls


def test_restarts_without_progress_are_counted(run):
    assert [start(run, count) for count in range(MOST_STALLS + 1)] == list(range(MOST_STALLS + 1))


@pytest.mark.parametrize("video", ["ab12", "references/cd34"])
@pytest.mark.parametrize("name", ["video.json", "checkpoint-3/rank0.safetensors", ".checkpoint/rank0.safetensors"])
def test_finished_video_or_checkpoint_is_progress(run, video, name):
    for count in range(MOST_STALLS):
        start(run, count)
    path = run / video / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert start(run, MOST_STALLS) == 0


def test_newer_checkpoint_of_the_same_name_is_progress(run):
    path = run / "ab12" / "rank0.safetensors"
    path.write_text("1")
    start(run, 0)
    path.unlink()
    path.write_text("2")
    assert start(run, 1) == 0


@pytest.mark.parametrize(
    "name", ["slurm/job-1.log", "launches/1-of-1.json", ".embeddings", "ab12/.tmp-x.mp4", "references/ab12.json"]
)
def test_logs_and_half_written_files_are_none(run, name):
    start(run, 0)
    path = run / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert start(run, 1) == 1


def test_first_start_of_a_job_that_reuses_an_old_number_counts_nothing(run):
    for count in range(MOST_STALLS + 1):
        start(run, count)
    assert start(run, 0) == 0


def test_finished_videos_are_counted(run):
    (run / "ab12" / "video.json").write_text("{}")
    assert run_progress(run).num_finished == 1
    assert run_progress(run / "none") == RunProgress(num_finished=0, newest_ns=0)


@contextmanager
def checkpoints_that_come_and_go(root: Path) -> Iterator[None]:
    """Another job of the same run writes checkpoints and removes them, as fast as it can."""
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for number in range(8):
                folder = root / f"{number:06d}"
                folder.mkdir(parents=True)
                (folder / "manifest.json").touch()
            shutil.rmtree(root)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_folders_that_another_job_removes_meanwhile_are_passed_over(run):
    (run / "ab12" / "video.json").write_text("{}")
    with checkpoints_that_come_and_go(run / "ab12" / ".checkpoints"):
        assert {run_progress(run).num_finished for _ in range(1000)} == {1}
