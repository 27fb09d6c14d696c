"""A disk that fills up: stood in for by the system's limit on the size of files, at any stage of a video."""

import io
import json
import resource
from contextlib import contextmanager

import pytest
from rich.console import Console

from orchestrator.artifacts import sha256_of
from orchestrator.disk import PROBE_BYTES, check_room
from orchestrator.errors import DiskFull
from orchestrator.launch_plan import plan_launch
from orchestrator.run import run_plan


@contextmanager
def files_of_at_most(num_bytes: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run(config):
    plan = plan_launch(config)
    outcome = run_plan(plan, console=Console(file=io.StringIO()))
    assert not outcome.failed
    return plan


@pytest.fixture
def small(config):
    config.video.height = config.video.width = 64
    config.video.num_frames = 9
    return config


@pytest.fixture
def undisturbed(small, tmp_path):
    """sha256 of each video, and the size of each kind of file."""
    output, small.output = small.output, str(tmp_path / "undisturbed")
    plan = run(small)
    folders = [plan.run_folder.video(name) for name in plan.requests]
    small.output = output
    return {
        "sha256": {folder.root.name: sha256_of(folder.video) for folder in folders},
        "sizes": {path.name: path.stat().st_size for path in folders[0].root.iterdir()},
    }


@pytest.mark.parametrize("limit", ["text", "checkpoint", "latents", "video.mp4", "preview.png"])
def test_launch_says_so_keeps_nothing_half_written_and_the_next_one_finishes(small, undisturbed, limit):
    """The limit is such that files of this kind cannot be written, and smaller ones can."""
    small.checkpoint.every = 0.0 if limit == "checkpoint" else 600.0
    sizes = {"text": 4000, "checkpoint": 20_000, "latents": 11_000, **undisturbed["sizes"]}
    with files_of_at_most(sizes[limit] - 100), pytest.raises(DiskFull) as refused:
        run(small)
    assert f"output={small.output} cannot be written" in str(refused.value)
    assert "the same command goes on" in str(refused.value)
    plan = plan_launch(small)
    folders = [plan.run_folder.video(name) for name in plan.requests]
    assert not any(folder.is_done or folder.failure.exists() for folder in folders)
    run(small)
    for folder in folders:
        assert sha256_of(folder.video) == undisturbed["sha256"][folder.root.name]
        assert {path.name for path in folder.root.iterdir()} == {"video.mp4", "preview.png", "video.json"}


def test_record_that_cannot_be_written_is_no_finished_video(small, undisturbed, monkeypatch):
    """It is the smallest of the files: the limit comes after the others."""
    from orchestrator import worker

    publish_sidecar = worker.publish_sidecar

    def publish_with_little_room(*arguments):
        with files_of_at_most(undisturbed["sizes"]["video.json"] - 100):
            publish_sidecar(*arguments)

    with monkeypatch.context() as patch, pytest.raises(DiskFull):
        patch.setattr("orchestrator.worker.publish_sidecar", publish_with_little_room)
        run(small)
    plan = run(small)
    for name in plan.requests:
        assert json.loads(plan.run_folder.video(name).sidecar.read_text())["video_id"] == name


def test_failure_with_room_on_the_disk_is_not_the_disks(tmp_path):
    check_room(tmp_path / "run", "ValueError: bad prompt")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    "cause", ["OSError: [Errno 28] No space left on device: 'x'", "Disk quota exceeded (os error 122)"]
)
def test_failure_that_names_the_disk_is_its_own(tmp_path, cause):
    with pytest.raises(DiskFull, match="cannot be written"):
        check_room(tmp_path, cause)


def test_folder_that_takes_nothing_any_more_is_noticed_whatever_the_failure_said(tmp_path):
    with files_of_at_most(PROBE_BYTES - 1), pytest.raises(DiskFull, match="File too large"):
        check_room(tmp_path, "the encoder did not come to its end")


def test_another_disk_that_is_full_is_no_affair_of_the_output_folder(tmp_path):
    words = "OSError: [Errno 28] No space left on device"
    check_room(tmp_path, f"{words}: '/tmp/torchinductor_me/kernel.py'")
    check_room(tmp_path, "RuntimeError: unable to write to file </torch_12_34>: No space left on device (28)")
    for cause in (f"{words}: '{tmp_path}/a/video.mp4'", f"{words} (os error 28)"):
        with pytest.raises(DiskFull):
            check_room(tmp_path, cause)
