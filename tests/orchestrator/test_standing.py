"""Where the videos of a batch stand, and what it costs to know."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder, VideoFolder, publish_json
from orchestrator.launch_plan import plan_launch
from orchestrator.overview import print_overview
from orchestrator.standing import Standing, done_ids, standings
from orchestrator.summary import print_summary

IDS = [f"{index:016x}" for index in range(5)]


@pytest.fixture
def run_folder(tmp_path) -> RunFolder:
    """One done, one set aside, one begun, one with an empty folder; the last is rendered for comparison, and done."""
    folder = RunFolder(tmp_path, reference_ids=frozenset(IDS[4:]))
    for video_id in (IDS[0], IDS[4]):
        publish_json(folder.video(video_id).sidecar, {})
        folder.video(video_id).video.touch()
    publish_json(folder.video(IDS[1]).failure, {"error": "no", "attempts": 3})
    folder.video(IDS[2]).checkpoints.mkdir(parents=True)
    folder.video(IDS[3]).root.mkdir()
    return folder


def test_files_say_where_each_video_stands(run_folder):
    assert standings(run_folder, [*IDS, "f" * 16]) == {
        IDS[0]: Standing.DONE,
        IDS[1]: Standing.SET_ASIDE,
        IDS[2]: Standing.BEGUN,
        IDS[3]: Standing.UNTOUCHED,
        IDS[4]: Standing.DONE,
        "f" * 16: Standing.UNTOUCHED,
    }
    assert done_ids(run_folder, ["f" * 16, *reversed(IDS)]) == [IDS[4], IDS[0]]


def test_run_that_was_never_launched_is_untouched(tmp_path):
    run_folder = RunFolder(tmp_path / "run")
    assert set(standings(run_folder, IDS).values()) == {Standing.UNTOUCHED}
    assert done_ids(run_folder, IDS) == []


@pytest.mark.parametrize("look", [standings, done_ids])
def test_videos_without_a_folder_are_not_looked_at(run_folder, monkeypatch, look):
    """Of 100,000 on a network file system that would take minutes."""
    stats: list[Path] = []

    def counting(path, **options):
        stats.append(path)
        return stat(path, **options)

    stat = os.stat
    monkeypatch.setattr(os, "stat", counting)
    look(run_folder, IDS)
    num_of_present = len(stats)
    look(run_folder, [*IDS, *(f"{index:016x}" for index in range(1000, 2000))])
    assert num_of_present and len(stats) == 2 * num_of_present


def test_planning_and_reporting_do_not_look_at_videos_without_a_folder_either(config, tmp_path, monkeypatch):
    (tmp_path / "prompts.txt").write_text("".join(f"prompt {index}\n" for index in range(20)))
    config.prompt, config.batch = None, str(tmp_path / "prompts.txt")
    looked_at = []
    is_done = property(lambda folder: bool(looked_at.append(folder)))
    monkeypatch.setattr(VideoFolder, "is_done", is_done)
    plan, console = plan_launch(config), Console(file=io.StringIO())
    print_overview(console, plan)
    print_summary(console, plan.requests, plan.run_folder, 1.0)
    assert looked_at == []
    plan.run_folder.video(next(iter(plan.entries))).root.mkdir(parents=True)
    print_overview(console, plan)
    assert len(looked_at) == 1
