"""The table at the end, for any prompt and any folder, and what is said of the videos that failed."""

import io
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.attempts import set_aside
from orchestrator.batch import BatchEntry
from orchestrator.standing import SET_ASIDE_BEFORE
from orchestrator.summary import print_failures, print_page, print_summary

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


HOSTILE = "a circle \x1b]0;owned\x07\x1b[2J \rdone\x9b2J \u202egnp"


def failures_of(run_folder, failed, request, *, name=None) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    entries = {one: BatchEntry(video_id=one, request=request, name=name, priority=0) for one in failed}
    print_failures(console, entries, failed, run_folder)
    return console.file.getvalue().splitlines()


def test_prompt_and_folder_steer_no_terminal(make_request, tmp_path):
    run_folder = RunFolder(tmp_path / "a\x1b[2Jb")
    finish(run_folder)
    shown = summary_of({VIDEO_ID: make_request(prompt=HOSTILE)}, run_folder)
    assert "a circle ]0;owned" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


@given(prompt=st.text(), error=st.text())
def test_any_failure_takes_two_lines_and_steers_no_terminal(make_request, tmp_path_factory, prompt, error):
    run_folder = RunFolder(tmp_path_factory.getbasetemp() / "none")
    lines = failures_of(run_folder, {VIDEO_ID: error}, make_request(prompt=prompt))
    assert len(lines) == 3 and all(line.isprintable() for line in lines)


def test_failure_names_video_and_error_whatever_they_hold(make_request, tmp_path):
    folder = RunFolder(tmp_path)
    set_aside(folder.video(VIDEO_ID), attempts=3, cause=f"ValueError: [bold]{HOSTILE}", details="")
    lines = failures_of(folder, {VIDEO_ID: "rank 0 failed"}, make_request(prompt=HOSTILE))
    assert lines[0].startswith(f"failed: {VIDEO_ID}  a circle ]0;owned")
    assert lines[1].startswith("        ValueError: [bold]a circle ]0;owned")
    assert lines[2] == "1 set aside, see failed.json in their folders; retry.failed=true tries again"
    assert all(line.isprintable() for line in lines)


def test_video_that_an_earlier_launch_has_set_aside_is_shown_with_the_error_of_that_time(make_request, tmp_path):
    folder = RunFolder(tmp_path)
    set_aside(folder.video(VIDEO_ID), attempts=3, cause="rank 0 on node7 failed: no memory", details="")
    heading, error, _ = failures_of(folder, {VIDEO_ID: SET_ASIDE_BEFORE}, make_request(), name="harbour")
    assert heading == f"failed before: {VIDEO_ID}  harbour"
    assert error == "        rank 0 on node7 failed: no memory"
    folder.video(VIDEO_ID).failure.write_text("{")
    assert "failed.json cannot be read" in failures_of(folder, {VIDEO_ID: SET_ASIDE_BEFORE}, make_request())[1]


def test_of_very_many_failures_the_first_are_shown_and_the_others_counted(make_request, tmp_path):
    failed = {f"{index:016x}": f"error {index}" for index in range(10_000)}
    *shown, more, pointer = failures_of(RunFolder(tmp_path / "my run"), failed, make_request())
    assert len(shown) == 40 and shown[-1] == "        error 19"
    assert more == f"… and 9980 more: python -m orchestrator.status {shlex.quote(f'{tmp_path}/my run')} --json"
    assert pointer.startswith("10000 set aside")


def test_nothing_is_said_where_nothing_failed(make_request, tmp_path):
    assert failures_of(RunFolder(tmp_path), {}, make_request()) == []
