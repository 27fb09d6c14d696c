"""The command that says what has become of a run."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.artifacts import RunFolder, publish_json, replace_json
from orchestrator.run_status import LaunchStatus, RunStatus, State, UnderWay, VideoStatus
from orchestrator.status import main, print_status

IDS = [f"{index:016x}" for index in range(40)]
NOW = datetime.now(UTC).isoformat()


@pytest.fixture
def run(tmp_path):
    """Four videos of a shard: one done, one under way, one failed, one waiting."""
    folder = RunFolder(tmp_path / "run")
    folder.launches.mkdir(parents=True)
    launch = {"job_name": "demo", "host": "elsewhere", "pid": 7, "began": NOW}
    lines = [launch] + [
        {"video_id": one, "name": name, "priority": 0, "seed": 3, "prompt": f"prompt of {one}"}
        for one, name in zip(IDS[:4], ["the first", None, None, None], strict=True)
    ]
    folder.launch_entries("3-of-16").write_text("".join(json.dumps(line) + "\n" for line in lines))
    at = {
        **{"video_id": IDS[1], "stage": "denoise", "step": 11, "num_steps": 50, "round": "full"},
        **{"fraction_done": 0.5, "video_since": NOW, "stage_since": NOW, "nodes": ["node a", "node b"]},
    }
    said = {"host": "elsewhere", "pid": 7, "process_began": 0.0, "began": NOW, "phase": "rendering"}
    replace_json(folder.launch_progress("3-of-16"), said | {"gangs": {"gang 1": at}})
    publish_json(folder.video(IDS[0]).sidecar, {})
    folder.video(IDS[0]).video.touch()
    error = "Traceback (most recent call last):\n  File\nValueError: \x1b[31mwrong [bold]thing\n"
    publish_json(folder.video(IDS[2]).failure, {"error": error, "attempts": 3})
    return folder.root


def test_people_see_counts_launches_what_is_under_way_and_why_what_failed(run, capsys):
    assert main([str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: 4 videos: 1 done, 1 under way, 1 waiting, 1 failed" in shown
    assert "shard 3 of 16  1/4 done  elsewhere:7" in shown
    [line] = [line for line in shown.splitlines() if line.startswith("3-of-16 gang 1")]
    for text in ("node a,node b", "denoise", "11/50", "full", IDS[1], f"prompt of {IDS[1]}"):
        assert text in line
    assert f"failed after 3 attempts  {IDS[2]}" in shown and "ValueError: wrong [bold]thing" in shown
    assert "\x1b" not in shown


def test_programs_get_everything(run, capsys):
    assert main([str(run), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"total": 4, "done": 1, "under_way": 1, "waiting": 1, "failed": 1}
    assert [video["state"] for video in said["videos"]] == ["done", "under_way", "failed", "waiting"]
    first, at_work, failed, _ = said["videos"]
    assert (first["name"], first["seed"], first["video_id"]) == ("the first", 3, IDS[0])
    assert at_work["under_way"]["nodes"] == ["node a", "node b"]
    assert at_work["under_way"]["since"] == NOW and at_work["under_way"]["stale"] is None
    assert failed["failed"]["attempts"] == 3 and failed["failed"]["error"].startswith("Traceback")
    [launch] = said["launches"]
    assert (launch["shard"], launch["total"], launch["done"], launch["phase"]) == ("3-of-16", 4, 1, "rendering")


def test_references_are_counted_apart(run, capsys):
    with RunFolder(run).launch_entries("3-of-16").open("a") as file:
        for video_id, role in ((IDS[7], "reference"), (IDS[8], "noise floor")):
            line = {
                "video_id": video_id,
                "name": "of the first",
                "priority": -1,
                "seed": 3,
                "prompt": "x",
                "role": role,
            }
            file.write(json.dumps(line) + "\n")
    finished, failed = (RunFolder(run).reference(video_id) for video_id in IDS[7:9])
    publish_json(finished.sidecar, {})
    finished.video.touch()
    publish_json(failed.failure, {"error": "no room", "attempts": 3})
    assert main([str(run)]) == 0
    shown = capsys.readouterr().out
    assert f"{run}: 4 videos: 1 done, 1 under way, 1 waiting, 1 failed" in shown
    assert "for comparison, with all rounds full: 1/2 done" in shown
    assert f"failed after 3 attempts  {IDS[8]}" in shown
    assert main([str(run), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"]["total"] == said["launches"][0]["total"] == 4
    assert [video["state"] for video in said["references"]] == ["done", "failed"]


def test_folder_that_is_no_run_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    answer = capsys.readouterr()
    assert answer.out == "" and answer.err.startswith("error: ") and len(answer.err.splitlines()) == 1


def test_command_needs_no_torch_and_changes_no_file(run, command_environment):
    """It is looked at every few seconds, on login nodes."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code = (
        "import sys; from orchestrator.status import main; main(sys.argv[1:]); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'hydra')))"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, env=command_environment(), cwd=sys.path[0])
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def shown_of(videos, *, width, phase="rendering", stale=None) -> str:
    launch = LaunchStatus(shard="all", job="demo", host="h", pid=1, began=datetime.now(UTC), phase=phase, stale=stale)
    launch.video_ids = [video.video_id for video in videos]
    console = Console(file=io.StringIO(), width=width)
    by_id = {video.video_id: video for video in videos}
    print_status(console, RunStatus(root=Path("run"), launches=[launch], videos=by_id))
    return console.file.getvalue()


def under_way(video_id: str, **changes) -> VideoStatus:
    now = datetime.now(UTC)
    at = UnderWay(
        **{"shard": "all", "gang": "gang 0", "nodes": ("h",), "stage": "decode", "step": 50, "num_steps": 50},
        **{"round": None, "video_since": now, "stage_since": now, "stale": None},
    )
    return VideoStatus(video_id=video_id, state=State.UNDER_WAY, under_way=at, **changes)


@given(prompt=st.text(), name=st.none() | st.text(), width=st.sampled_from([40, 80, 160]))
def test_any_prompt_and_name_are_shown_in_one_line_and_steer_no_terminal(prompt, name, width):
    shown = shown_of([under_way(IDS[0], prompt=prompt, name=name)], width=width)
    assert len(shown.splitlines()) == 5
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


def test_dead_launch_says_what_to_do():
    shown = shown_of([under_way(IDS[0])], width=160, stale="its process 1 is gone")
    assert "died: its process 1 is gone; the same command goes on" in shown
    assert "not running" in shown_of([VideoStatus(video_id=IDS[0])], width=160, phase=None)
