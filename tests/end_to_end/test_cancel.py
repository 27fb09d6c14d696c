"""Videos that are cancelled while a launch renders them, with the command that people use."""

import subprocess
import sys

import pytest

from orchestrator.artifacts import RunFolder
from orchestrator.devices import count_gpus

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU"),
]

PROMPTS = ("a large red circle moving left", "a small blue square", "a white ring")
STEPS = 400
SLOW = ("video.height=64", "video.width=64", "video.num_frames=5", f"denoise.num_steps={STEPS}", "forecast=none")


@pytest.fixture(scope="module")
def cancelled(watch, model_folder, command_environment, tmp_path_factory):
    """The run's folder, what the launch said, and its status: of three videos two are cancelled during the first."""
    folder = tmp_path_factory.mktemp("cancelled")
    batch = folder / "rows.jsonl"
    batch.write_text("".join(f'{{"prompt": "{one}", "name": "{one.split()[-1]}"}}\n' for one in PROMPTS))
    launched = watch(
        *("+job=demo", f"model.path={model_folder}", "cluster=none", "parallel=auto", *SLOW),
        *(f"batch={batch}", f"output={folder}/run"),
    )
    launched.wait_for(f"denoise  step 0/{STEPS}")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cancel", f"{folder}/run", "left", "ring"],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.count("cancelled: ") == 2, done.stderr
    ended = launched.end(lambda: None)
    return folder / "run", ended.stderr, ended.status


def test_others_are_rendered_and_the_last_lines_say_which_were_cancelled(cancelled):
    root, said, status = cancelled
    assert status == 3, said
    run_folder = RunFolder(root)
    done = [run_folder.video(one).read_sidecar() for one in run_folder.video_ids() if run_folder.video(one).is_done]
    assert [one["request"]["prompt"] for one in done] == ["a small blue square"]
    last = said.splitlines()[-5:]
    assert [line.split()[-1] for line in last[:4]] == ["left", "cancelled", "ring", "cancelled"]
