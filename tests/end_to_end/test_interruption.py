"""Launches that are told to go at awkward moments: in one process, and while Ray starts."""

import pytest

from orchestrator.devices import count_gpus

pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")


@pytest.fixture(scope="module")
def arguments(model_folder) -> list[str]:
    return ["+job=demo", f"model.path={model_folder}"]


def test_launch_in_one_process_ends_in_time_when_terminated(watch, arguments, tmp_path):
    watched = watch(*arguments, "cluster=none", "parallel=auto", f"output={tmp_path}/run")
    watched.wait_for("denoise  step 4/50")
    ended = watched.end(watched.terminate)
    assert ended.status == 130
    assert ended.seconds < 5
    assert ended.stderr.splitlines()[-1].startswith("interrupted: ")
    assert ended.left == []
    assert list(tmp_path.rglob("video.json")) == []


def test_launch_that_is_interrupted_while_ray_starts_leaves_no_process(watch, arguments, tmp_path):
    watched = watch(*arguments, f"output={tmp_path}/run")
    watched.wait_for_process("runtime_env/agent")  # the last of Ray's own programs, which its others do not know yet
    ended = watched.end(watched.interrupt)
    assert ended.status == 130
    assert ended.seconds < 5
    assert ended.left == []
