"""The table at the end, for any prompt and any folder."""

import io

import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.summary import print_page, print_summary

VIDEO_ID = "0123456789abcdef"
RECORD = {"seconds": {"total": 12.34}, "num_full_rounds": 14, "plan": ["full"] * 50, "estimated_speedup": 2.456}


def summary_of(requests, run_folder, *, width=200) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_summary(console, requests, run_folder, 75.0)
    return console.file.getvalue()


def finish(run_folder) -> None:
    folder = run_folder.video(VIDEO_ID)
    publish_json(folder.sidecar, RECORD)
    folder.video.touch()


def test_line_says_seconds_rounds_speedup_and_where(make_request, tmp_path):
    run_folder = RunFolder(tmp_path)
    finish(run_folder)
    shown = summary_of({VIDEO_ID: make_request()}, run_folder)
    [line] = [line for line in shown.splitlines() if line.startswith("a large red circle")]
    for text in ("12.3", "14 of 50", "2.46×", f"{tmp_path}/{VIDEO_ID}/video.mp4"):
        assert text in line
    assert "1:15 this time" in shown


def test_paths_below_the_working_directory_are_short(make_request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder = RunFolder(tmp_path / "outputs" / "demo")
    finish(run_folder)
    shown = summary_of({VIDEO_ID: make_request()}, run_folder)
    assert f" outputs/demo/{VIDEO_ID}/video.mp4" in shown
    assert str(tmp_path) not in shown


def test_video_that_is_not_done_has_no_line(make_request, tmp_path):
    assert "a large red circle" not in summary_of({VIDEO_ID: make_request()}, RunFolder(tmp_path))


@pytest.mark.parametrize("prompt", ["[bold]x[/wrong]", "[/]", "one\ntwo", "🎈" * 300, ":smile:", ""])
def test_any_prompt_can_be_shown(make_request, tmp_path, prompt):
    run_folder = RunFolder(tmp_path)
    finish(run_folder)
    shown = summary_of({VIDEO_ID: make_request(prompt=prompt)}, run_folder)
    assert "14 of 50" in shown
    assert prompt[:6].split("\n")[0] in shown


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_path_and_figures_are_whole_on_any_terminal(make_request, tmp_path, monkeypatch, width):
    """So that one can copy the path; a long prompt may be cut."""
    monkeypatch.chdir(tmp_path)
    run_folder = RunFolder(tmp_path / "outputs" / "demo-12345678")
    finish(run_folder)
    prompt = "a large red circle moving left on a dark blue background"
    shown = summary_of({VIDEO_ID: make_request(prompt=prompt)}, run_folder, width=width)
    for text in ("12.3", "14 of 50", "2.46×", f"outputs/demo-12345678/{VIDEO_ID}/video.mp4"):
        assert text in shown


@pytest.mark.parametrize("name", ["[bold]", "a[/b]c", ":smile:", "two words", "100%"])
def test_any_folder_can_be_shown(make_request, tmp_path, name):
    run_folder = RunFolder(tmp_path / name)
    finish(run_folder)
    shown = summary_of({VIDEO_ID: make_request()}, run_folder, width=400)
    assert f"1 videos in {tmp_path}/{name}, " in shown
    assert f"{tmp_path}/{name}/{VIDEO_ID}/video.mp4" in shown


def test_of_very_many_videos_the_first_are_shown_and_the_others_counted(make_request, tmp_path):
    run_folder = RunFolder(tmp_path)
    requests = {f"{index:016x}": make_request(seed=index) for index in range(60)}
    for name in requests:
        publish_json(run_folder.video(name).sidecar, RECORD)
        run_folder.video(name).video.touch()
    shown = summary_of(requests, run_folder)
    assert shown.count("14 of 50") == 50 and "… and 10 more" in shown and "60 videos in" in shown


def test_page_is_named_as_it_can_be_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=40)
    print_page(console, RunFolder(tmp_path / "outputs" / "[demo]"))
    assert console.file.getvalue() == "look at them: outputs/[demo]/index.html\n"
