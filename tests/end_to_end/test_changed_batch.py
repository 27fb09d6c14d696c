"""A batch's file that is changed while it is rendered: the launch renders what it has read, the next one the rest."""

import pytest

from orchestrator.devices import count_gpus

pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")

SMALL = ("video.height=64", "video.width=64", "video.num_frames=5")
FIRST, SECOND = "a large red circle moving left", "a large blue square moving right"


def test_launch_renders_what_it_has_read_and_the_next_one_what_was_added(watch, launch, model_folder, tmp_path):
    batch = tmp_path / "prompts.txt"
    batch.write_text(f"{FIRST}\n")
    command = [
        *("+job=demo", "forecast=spectrum", f"model.path={model_folder}", "cluster=none", "parallel=auto", *SMALL),
        *(f"batch={batch}", f"output={tmp_path}/run"),
    ]
    watched = watch(*command)
    watched.wait_for("denoise  step 4/50")
    batch.write_text(f"{FIRST}\n{SECOND}\n")
    ended = watched.end(lambda: None)
    assert ended.status == 0
    assert len(list(tmp_path.glob("run/*/video.json"))) == 1
    again = launch(*command)
    assert again.returncode == 0, again.stderr
    assert "2 videos, 1 of them done" in again.stderr
    assert len(list(tmp_path.glob("run/*/video.json"))) == 2
