"""Launches that are told to go at awkward moments: in one process, and while Ray starts."""

import time

import pytest

from orchestrator.devices import count_gpus

pytestmark = [pytest.mark.alone, pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")]


@pytest.fixture(scope="module")
def arguments(model_folder) -> list[str]:
    return ["+job=demo", "forecast=spectrum", f"model.path={model_folder}"]


def test_launch_in_one_process_ends_in_time_when_terminated(watch, arguments, tmp_path):
    watched = watch(*arguments, "cluster=none", "parallel=auto", f"output={tmp_path}/run")
    watched.wait_for("denoise  step 4/50")
    ended = watched.end(watched.terminate)
    assert ended.status == 75
    assert ended.seconds < 5
    assert ended.stderr.splitlines()[-1].startswith("asked to end: ")
    assert ended.left == []
    assert list(tmp_path.rglob("video.json")) == []
    assert len(list(tmp_path.rglob("manifest.json"))) == 1, "a checkpoint"


def test_second_ctrl_c_does_not_wait_for_a_checkpoint(watch, arguments, tmp_path):
    watched = watch(*arguments, "cluster=none", "parallel=auto", f"output={tmp_path}/run", "video.height=192")
    watched.wait_for("denoise  step 0/50")

    def twice():
        watched.interrupt()
        time.sleep(0.05)
        watched.interrupt()

    ended = watched.end(twice)
    assert ended.status == 130
    assert list(tmp_path.rglob("manifest.json")) == []


def test_second_launch_of_the_same_folder_is_refused_and_names_the_first(watch, launch, arguments, tmp_path):
    command = [*arguments, "cluster=none", "parallel=auto", f"output={tmp_path}/run"]
    watched = watch(*command, "denoise.num_steps=1000")  # long enough for the second to start meanwhile
    watched.wait_for("denoise  step 0/1000")
    refused = launch(*command, "denoise.num_steps=1000")
    assert refused.returncode == 2
    assert f"another launch: process {watched.process.pid} on" in refused.stderr
    watched.process.kill()
    watched.process.wait()
    taken_over = launch(*command, "job.shard=1/1", "denoise.num_steps=2")
    assert taken_over.returncode == 0, taken_over.stderr


def test_launch_that_is_interrupted_while_ray_starts_leaves_no_process(watch, arguments, tmp_path):
    watched = watch(*arguments, f"output={tmp_path}/run")
    watched.wait_for_process("runtime_env/agent")  # the last of Ray's own programs, which its others do not know yet
    ended = watched.end(watched.interrupt)
    assert ended.status == 130
    assert ended.seconds < 5
    assert ended.left == []
