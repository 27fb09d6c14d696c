"""A launch that finds a checkpoint which is not as it was written: same bytes at the end, whatever was damaged."""

import io
import logging
import pickle
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder, sha256_of
from orchestrator.checkpoint_store import LATENTS, MANIFEST, generations
from orchestrator.launch_plan import plan_launch
from orchestrator.local_pool import LocalPool
from orchestrator.policy import Policy, Stop
from orchestrator.run import run_plan
from orchestrator.scheduler import run_batch
from orchestrator.sidecar import Provenance
from orchestrator.view import Silent

STOPPED_AT = 8
PROVENANCE = Provenance(job_name="demo", command="pytest", git_revision=None)


class StopAt(Silent):
    """Asks for a stop once a gang has come to a step."""

    def __init__(self, stop: Stop, step: int) -> None:
        self._stop, self._step = stop, step

    def gang_at(self, gang, progress):
        if progress.step >= self._step:
            self._stop.reason = "test"


@pytest.fixture
def plan(config):
    config.denoise.num_steps = 16
    config.video.height = config.video.width = 64
    config.video.num_frames = 5
    return plan_launch(config)


@pytest.fixture
def interrupted(plan):
    """The folder of a video whose launch was stopped at a checkpoint; and the sha256 that it is to come to."""
    [video_id] = plan.requests
    undisturbed = RunFolder(plan.run_folder.root.with_name("undisturbed"))
    pool, stop = LocalPool(plan), Stop()
    run_batch(pool, plan.requests, undisturbed, PROVENANCE, Silent())
    run_batch(
        *(LocalPool(plan), plan.requests, plan.run_folder, PROVENANCE, StopAt(stop, STOPPED_AT)),
        policy=Policy(),
        stop=stop,
    )
    folder = plan.run_folder.video(video_id)
    [found] = generations(folder.checkpoints)
    assert found.step >= STOPPED_AT
    return folder, sha256_of(undisturbed.video(video_id).video)


def flip_a_byte(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def give_to_a_disk_that_fails(path) -> None:
    """Every read of it is an EIO from now on."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def go_on(plan):
    assert not run_plan(plan, console=Console(file=io.StringIO())).failed


def test_undamaged_one_is_gone_on_from(interrupted, plan, caplog):
    """The control: the damages below are what makes the difference."""
    folder, expected = interrupted
    go_on(plan)
    assert sha256_of(folder.video) == expected
    assert [one.partition("(")[2] for one in folder.read_sidecar()["resumed"]] == ["full)"]


@pytest.mark.parametrize("damaged", ["rank-0.safetensors", MANIFEST])
def test_video_begins_again_and_the_log_says_so(interrupted, plan, caplog, damaged):
    folder, expected = interrupted
    [found] = generations(folder.checkpoints)
    if damaged == MANIFEST:
        (found.folder / MANIFEST).write_text("{")
    else:
        flip_a_byte(found.folder / damaged)
    with caplog.at_level(logging.WARNING, "orchestrator"):
        go_on(plan)
    assert sha256_of(folder.video) == expected
    assert folder.read_sidecar()["resumed"] == []
    if damaged != MANIFEST:  # without a whole manifest there never was a checkpoint
        assert any("not as it was written" in message for message in caplog.messages)
        assert any("begins again" in message for message in caplog.messages)


def test_video_begins_again_where_the_disk_fails(interrupted, plan, caplog):
    folder, expected = interrupted
    [found] = generations(folder.checkpoints)
    give_to_a_disk_that_fails(found.folder / "rank-0.safetensors")
    with caplog.at_level(logging.WARNING, "orchestrator"):
        go_on(plan)
    assert sha256_of(folder.video) == expected
    assert any("Input/output error" in message for message in caplog.messages)


def test_damaged_latents_do_not_matter_where_the_whole_state_is_there(interrupted, plan):
    folder, expected = interrupted
    [found] = generations(folder.checkpoints)
    flip_a_byte(found.folder / LATENTS)
    go_on(plan)
    assert sha256_of(folder.video) == expected
    assert len(folder.read_sidecar()["resumed"]) == 1


@pytest.mark.parametrize("damage", [flip_a_byte, give_to_a_disk_that_fails])
def test_older_whole_one_is_taken_where_the_newer_is_damaged(interrupted, plan, damage):
    """Both are there if the launch died between the newer one's manifest and the older one's removal."""
    folder, expected = interrupted
    [found] = generations(folder.checkpoints)
    newer = found.folder.with_name(f"{int(found.folder.name) + 1:06d}")
    shutil.copytree(found.folder, newer)
    damage(newer / "rank-0.safetensors")
    go_on(plan)
    assert sha256_of(folder.video) == expected
    assert [one.partition("(")[2] for one in folder.read_sidecar()["resumed"]] == ["full)"]


def test_damaged_latents_of_a_denoised_video_are_denoised_again(plan, interrupted, caplog):
    folder, expected = interrupted
    folder.latents.write_bytes(b"half of the latents")
    with caplog.at_level(logging.WARNING, "orchestrator"):
        go_on(plan)
    assert sha256_of(folder.video) == expected
    assert any("does not hold a video's latents" in message for message in caplog.messages)


@pytest.mark.parametrize(("is_full", "unreadable"), [(True, "rank-1.safetensors"), (False, LATENTS)])
def test_ranks_agree_on_the_older_one_where_one_of_them_cannot_read_the_newer(
    config, gang, tmp_path, is_full, unreadable
):
    config.parallel.ulysses = 2
    plan = tmp_path / "plan"
    plan.write_bytes(pickle.dumps(plan_launch(config, torchrun_world_size=2)))
    task_file = Path(__file__).with_name("checkpoint_tasks.py")
    arguments = {"plan": str(plan), "is_full": is_full, "unreadable": unreadable}
    [ranks] = gang(task_file, "resume_with_an_unreadable_file", [2], **arguments).values()
    assert ranks[0] == ranks[1]
    assert ranks[0]["older"] == ranks[0]["resumed"] and ranks[0]["newer"] > ranks[0]["older"] > 0
