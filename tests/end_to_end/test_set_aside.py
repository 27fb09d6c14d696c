"""A batch of which one video always fails: the launch ends with status 3, and its last lines say which and why."""

import json

import pytest

from orchestrator.artifacts import RunFolder
from orchestrator.devices import count_gpus

pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU")

PROMPTS = ["a large red circle moving left", "a large \x1b[2J\x1b]0;owned\x07 blue square \u202emoving right"]
SMALL = ("video.height=64", "video.width=64", "video.num_frames=5", "denoise.num_steps=3", "forecast=none")


@pytest.fixture(scope="module")
def failed(launch_many, model_folder, tmp_path_factory) -> tuple[str, list[dict]]:
    """The id of the second video, whose latents cannot be written; two launches of the batch."""
    folder = tmp_path_factory.mktemp("batch")
    batch = folder / "rows.jsonl"
    batch.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    command = [
        *("+job=demo", f"model.path={model_folder}", "cluster=none", "parallel=auto", *SMALL),
        *(f"batch={batch}", f"output={folder}/run", "retry.max_attempts=2", "retry.backoff=0.01"),
    ]
    [answer] = launch_many([command])
    assert answer["status"] == 0, answer["stderr"]
    run = RunFolder(folder / "run")
    [video_id] = [one for one in run.video_ids() if "blue" in run.video(one).read_sidecar()["request"]["prompt"]]
    video = run.video(video_id)
    video.sidecar.unlink()
    video.latents.mkdir()
    return video_id, launch_many([command, command])


@pytest.mark.parametrize(("launch", "heading"), [(0, "failed: "), (1, "failed before: ")], ids=["first", "again"])
def test_last_lines_name_the_video_and_its_error(failed, launch, heading):
    video_id, answers = failed
    assert answers[launch]["status"] == 3, answers[launch]["stderr"]
    *_, name, error, pointer = answers[launch]["stderr"].splitlines()
    assert name.startswith(f"{heading}{video_id}  a large") and "blue square" in name
    assert error.startswith("        IsADirectoryError: [Errno 21] Is a directory")
    assert pointer == "1 set aside, see failed.json in their folders; retry.failed=true tries again"


def test_prompt_steers_no_terminal(failed):
    for answer in failed[1]:
        assert "blue square" in answer["stderr"]
        assert all(sign.isprintable() or sign == "\n" for sign in answer["stderr"])
