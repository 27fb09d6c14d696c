"""What this machine has to render on."""

import os
import subprocess
import sys

import pytest

from orchestrator.devices import count_cpus, count_gpus


def test_gpus_are_those_that_torch_sees():
    import torch

    assert count_gpus() == torch.cuda.device_count()


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles", " "])
def test_hidden_gpus_do_not_count(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert count_gpus() == 0


@pytest.mark.parametrize(("visible", "count"), [(None, 4), ("0,1", 2), ("3", 1), ("0,1,2,3,4,5", 4), ("", 0)])
def test_visible_gpus_count_as_far_as_they_are_there(monkeypatch, tmp_path, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / name).touch()
    monkeypatch.setattr("orchestrator.devices.Path", lambda _dev: tmp_path)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_cpu_cores_are_those_that_this_process_may_use():
    pinned = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "from orchestrator.devices import count_cpus; print(count_cpus())",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(pinned.stdout) == 1
    assert count_cpus() == len(os.sched_getaffinity(0))
