"""Ranks of torchrun leave their group whole: a thread of gloo's that outlives the model may abort the process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.devices import count_gpus

pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")


@pytest.mark.parametrize("engine", ["diffusers", "xfuser"])
def test_no_thread_of_the_group_is_left_when_a_launch_ends(engine, model_folder, tmp_path, command_environment):
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node=2"),
            Path(__file__).with_name("launch_and_count_threads.py"),
            *("+job=demo", "cluster=none", "parallel=auto", f"parallel.engine={engine}", "prompt=a large red circle"),
            *(f"model.path={model_folder}", f"output={tmp_path}/run"),
            *("denoise.num_steps=2", "forecast=none", "video.num_frames=5"),
        ],
        cwd=tmp_path,
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.findall("left: (.*)", done.stdout) == ["0", "0"]
    assert len(list((tmp_path / "run").rglob("video.mp4"))) == 1
