"""What a launch says where an earlier one, of nearly the same batch, has rendered into another folder."""

import io

import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder
from orchestrator.earlier_runs import find_earlier
from orchestrator.launch_plan import plan_launch
from orchestrator.overview import print_overview
from orchestrator.standing import done_ids

IDS = [letter * 16 for letter in "abcd"]


def finish(root, video_ids) -> None:
    for video_id in video_ids:
        folder = RunFolder(root).video(video_id)
        folder.root.mkdir(parents=True)
        folder.video.touch()
        folder.sidecar.touch()


@pytest.fixture
def outputs(tmp_path):
    """Runs of two jobs, and what is no run."""
    finish(tmp_path / "demo-11111111", IDS[:2])
    finish(tmp_path / "demo-22222222", IDS[:3])
    finish(tmp_path / "demo-33333333", ["e" * 16])
    finish(tmp_path / "other-11111111", IDS)
    (tmp_path / "demo-notes").touch()
    return tmp_path


def test_folder_of_the_same_job_with_most_of_the_videos_is_found(outputs):
    new = RunFolder(outputs / "demo-99999999")
    assert find_earlier(new, IDS) == (outputs / "demo-22222222", 3)
    assert find_earlier(new, ["f" * 16]) is None


def test_nothing_is_said_where_the_launchs_own_folder_is_there(outputs):
    assert find_earlier(RunFolder(outputs / "demo-11111111"), IDS) is None


def test_nothing_is_said_where_nothing_was_rendered_yet(tmp_path):
    assert find_earlier(RunFolder(tmp_path / "outputs" / "demo-99999999"), IDS) is None
    assert find_earlier(RunFolder(tmp_path / "mine"), IDS) is None


def test_folder_that_cannot_be_read_is_passed_over(outputs, monkeypatch):
    def read(folder, video_ids):
        if folder.root.name == "demo-22222222":
            raise PermissionError(folder.root)
        return done_ids(folder, video_ids)

    monkeypatch.setattr("orchestrator.earlier_runs.done_ids", read)
    assert find_earlier(RunFolder(outputs / "demo-99999999"), IDS) == (outputs / "demo-11111111", 2)
    assert find_earlier(RunFolder(outputs / "nowhere" / "demo-99999999"), IDS) is None


def test_launch_of_a_manifest_that_has_grown_says_where_the_others_are(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch = tmp_path / "prompts.txt"
    config.prompt, config.batch, config.output = None, str(batch), None
    batch.write_text("one\ntwo")
    first = plan_launch(config)
    finish(first.run_folder.root, first.requests)
    batch.write_text("one\ntwo\nthree")
    console = Console(file=io.StringIO(), width=200)
    print_overview(console, plan_launch(config))
    root = first.run_folder.root
    assert f"earlier 2 of these are done in {root}: output={root} renders only what is" in console.file.getvalue()
