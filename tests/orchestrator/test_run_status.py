"""The state of a run from its files: of a real one, of a dead one, of very many videos, and of what is no run."""

import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder, publish_json, replace_json
from orchestrator.errors import BadInput
from orchestrator.launch_plan import plan_launch
from orchestrator.run import run_plan
from orchestrator.run_status import State, read_run
from orchestrator.view import Silent, Views

pytestmark = pytest.mark.alone

IDS = [f"{index:016x}" for index in range(6)]
LAUNCH = {"job_name": "demo", "host": "elsewhere", "pid": 1, "began": "2024-01-01T00:00:00+00:00"}


def write_launch(folder: RunFolder, video_ids, *, shard="all") -> None:
    lines = [LAUNCH] + [
        {"video_id": one, "name": None, "priority": 0, "seed": 0, "prompt": f"video {one}"} for one in video_ids
    ]
    folder.launches.mkdir(parents=True, exist_ok=True)
    folder.launch_entries(shard).write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_progress(folder: RunFolder, video_id: str, *, shard="all", gang="gang 0", age=0.0, **changes) -> None:
    now = datetime.now(UTC).isoformat()
    at = {
        **{"video_id": video_id, "stage": "denoise", "step": 11, "num_steps": 50, "round": "full"},
        **{"fraction_done": 0.5, "video_since": now, "stage_since": now, "nodes": ["node a"]},
    }
    said = {
        **{"host": "elsewhere", "pid": 1, "process_began": 0.0, "began": now, "phase": "rendering"},
        **{"gangs": {gang: at}},
        **changes,
    }
    path = folder.launch_progress(shard)
    replace_json(path, said)
    os.utime(path, (time.time() - age, time.time() - age))


def finish(folder: RunFolder, video_id: str) -> None:
    publish_json(folder.video(video_id).sidecar, {})
    folder.video(video_id).video.touch()


@pytest.fixture
def run_folder(tmp_path):
    return RunFolder(tmp_path / "run")


def states_of(folder: RunFolder) -> dict[str, State]:
    return {video_id: video.state for video_id, video in read_run(folder.root).videos.items()}


def test_videos_are_done_under_way_waiting_or_failed(run_folder):
    write_launch(run_folder, IDS[:4])
    finish(run_folder, IDS[0])
    write_progress(run_folder, IDS[1])
    publish_json(run_folder.video(IDS[2]).failure, {"error": "Traceback\n  …\nValueError: no", "attempts": 3})
    run = read_run(run_folder.root)
    assert [video.state for video in run.videos.values()] == [
        State.DONE,
        State.UNDER_WAY,
        State.FAILED,
        State.WAITING,
    ]
    at, failure = run.videos[IDS[1]].under_way, run.videos[IDS[2]].failure
    assert (at.stage, at.step, at.round, at.gang, at.nodes, at.stale) == (
        "denoise",
        11,
        "full",
        "gang 0",
        ("node a",),
        None,
    )
    assert (failure.error.splitlines()[-1], failure.attempts) == ("ValueError: no", 3)
    assert run.videos[IDS[3]].prompt == f"video {IDS[3]}"


def test_shards_are_merged(run_folder):
    write_launch(run_folder, IDS[:3], shard="1-of-2")
    write_launch(run_folder, IDS[2:5], shard="2-of-2")
    write_progress(run_folder, IDS[0], shard="1-of-2")
    write_progress(run_folder, IDS[3], shard="2-of-2")
    finish(run_folder, IDS[2])
    run = read_run(run_folder.root)
    assert [(launch.shard, len(launch.video_ids)) for launch in run.launches] == [("1-of-2", 3), ("2-of-2", 3)]
    assert list(run.videos) == IDS[:5]
    assert {video.under_way.shard for video in run.in_state(State.UNDER_WAY)} == {"1-of-2", "2-of-2"}


def test_done_is_the_last_word(run_folder):
    """A gang's file is up to a second behind; and an attempt may have failed before."""
    write_launch(run_folder, IDS[:1])
    write_progress(run_folder, IDS[0])
    publish_json(run_folder.video(IDS[0]).failure, {"error": "x", "attempts": 1})
    assert states_of(run_folder) == {IDS[0]: State.UNDER_WAY}, "it is tried again"
    finish(run_folder, IDS[0])
    assert states_of(run_folder) == {IDS[0]: State.DONE}


def test_video_that_no_launch_names_any_more_is_counted(run_folder):
    write_launch(run_folder, IDS[:1])
    finish(run_folder, IDS[5])
    assert states_of(run_folder) == {IDS[0]: State.WAITING, IDS[5]: State.DONE}


@pytest.mark.parametrize(("age", "is_stale"), [(0, False), (50, False), (70, True), (10_000, True)])
def test_launch_elsewhere_is_dead_after_a_minute_of_silence(run_folder, age, is_stale):
    write_launch(run_folder, IDS[:1])
    write_progress(run_folder, IDS[0], age=age)
    run = read_run(run_folder.root)
    [launch] = run.launches
    assert bool(launch.stale) == bool(run.videos[IDS[0]].under_way.stale) == is_stale


def test_launch_here_is_dead_once_its_process_is_gone(run_folder):
    write_launch(run_folder, IDS[:1])
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = {
        "host": platform.node(),
        "pid": process.pid,
        "process_began": psutil.Process(process.pid).create_time(),
    }
    write_progress(run_folder, IDS[0], **here)
    assert read_run(run_folder.root).launches[0].stale is None
    process.kill()
    time.sleep(0.1)
    assert "is gone" in read_run(run_folder.root).launches[0].stale, "though nobody has waited for it"
    process.communicate()
    assert "is gone" in read_run(run_folder.root).launches[0].stale
    write_progress(run_folder, IDS[0], **here | {"pid": os.getpid()})
    assert "is gone" in read_run(run_folder.root).launches[0].stale, "another process has got its number"


def test_failed_video_under_a_dead_gang_has_failed(run_folder):
    write_launch(run_folder, IDS[:1])
    write_progress(run_folder, IDS[0], age=100)
    publish_json(run_folder.video(IDS[0]).failure, {"error": "x", "attempts": 1})
    assert states_of(run_folder) == {IDS[0]: State.FAILED}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"attempts": 3}', "\x00"])
def test_failure_that_cannot_be_read_is_a_failure(run_folder, text):
    write_launch(run_folder, IDS[:1])
    run_folder.video(IDS[0]).root.mkdir()
    run_folder.video(IDS[0]).failure.write_text(text)
    assert states_of(run_folder) == {IDS[0]: State.FAILED}


@pytest.mark.parametrize("text", ["", "{", "{}\n", '{"job_name": 1}\n{}\n', "[]"])
def test_damaged_launch_file_is_named(run_folder, text):
    write_launch(run_folder, IDS[:1])
    run_folder.launch_entries("all").write_text(text)
    with pytest.raises(BadInput, match=r"launches/all\.jsonl is damaged"):
        read_run(run_folder.root)


def test_launch_that_has_written_nothing_yet_is_a_run_without_videos(run_folder):
    """A launch makes its folder before its first file: who looks in between sees a run that begins."""
    run_folder.launches.mkdir(parents=True)
    run = read_run(run_folder.root)
    assert (run.launches, run.videos) == ([], {})


def test_folder_that_is_no_run_is_refused_with_the_runs_below_it(tmp_path):
    with pytest.raises(BadInput, match="is no folder"):
        read_run(tmp_path / "nowhere")
    write_launch(RunFolder(tmp_path / "outputs" / "demo-12345678"), IDS[:1])
    with pytest.raises(BadInput, match=r"is no run: .* below it are demo-12345678"):
        read_run(tmp_path / "outputs")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is no folder"):
        read_run(tmp_path / "file")


def test_run_without_launch_files_is_read_from_its_videos(run_folder):
    finish(run_folder, IDS[0])
    assert states_of(run_folder) == {IDS[0]: State.DONE}


def test_hundred_thousand_videos_are_read_with_few_looks_at_the_disk(run_folder, monkeypatch):
    """Only videos that have a folder are looked at."""
    many = [f"{index:016x}" for index in range(100_000)]
    write_launch(run_folder, many)
    for video_id in many[:20]:
        finish(run_folder, video_id)
    looks = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: (looks.append(a), stat(*a, **k))[1])
    run = read_run(run_folder.root)
    assert (len(run.videos), len(run.in_state(State.DONE))) == (100_000, 20)
    assert len(looks) < 200


@pytest.fixture
def small_batch(config, tmp_path):
    rows = [
        {"prompt": f"circle {index}", "name": f"clip {index}", "size": f"{32 + 16 * index}x32"} for index in range(3)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config.prompt, config.batch = None, str(tmp_path / "rows.jsonl")
    config.denoise.num_steps, config.video.num_frames = 2, 1
    return config


def test_real_run_is_followed_from_its_files(small_batch, monkeypatch):
    """Shapes of three sizes on one gang; looked at from within whenever a gang begins something."""
    seen = []

    class Watching(Silent):
        def gang_at(self, gang, progress):
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                run = read_run(plan.run_folder.root)
                [at, *_] = [video.under_way for video in run.in_state(State.UNDER_WAY)] or [None]
                if at is not None and (at.stage, at.step) == (progress.stage.value, progress.step):
                    break
                time.sleep(0.01)
            seen.append([len(run.in_state(state)) for state in State])
            assert (at.stage, at.stale, at.nodes) == (progress.stage.value, None, (platform.node(),))
            assert run.launches[0].phase == "rendering"

    plan = plan_launch(small_batch)
    monkeypatch.setattr("orchestrator.launch_record.WRITE_SECONDS", 0.01)
    # The view that looks at the files has to be told after the one that writes them.
    monkeypatch.setattr("orchestrator.run.Views", lambda page, shown, record: Views(record, shown, page))
    monkeypatch.setattr("orchestrator.run.make_view", lambda *_, **__: Watching())
    run_plan(plan, console=Console(file=io.StringIO()))
    assert seen[0] == [0, 1, 2, 0] and seen[-1] == [2, 1, 0, 0]
    run = read_run(plan.run_folder.root)
    assert {video.state for video in run.videos.values()} == {State.DONE}
    assert [video.name for video in run.videos.values()] == ["clip 0", "clip 1", "clip 2"]
    [launch] = run.launches
    assert launch.phase is None and launch.stale is None


def test_run_whose_launch_was_killed_says_so_and_goes_on(small_batch, model_folder, tmp_path, command_environment):
    """A real process, killed for real in the middle of a video."""
    output = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "orchestrator.launch", "+job=demo", "cluster=none", "parallel=auto"),
        *(f"batch={small_batch.batch}", f"output={output}", f"model.path={model_folder}", "denoise.num_steps=400"),
        *("video.num_frames=1", "forecast=none"),
    ]
    with subprocess.Popen(command, env=command_environment(), stderr=subprocess.PIPE, cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not (output / "launches").is_dir() or not read_run(output).in_state(State.UNDER_WAY):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        alive = read_run(output)
        process.send_signal(signal.SIGKILL)
        process.wait()
    [video] = alive.in_state(State.UNDER_WAY)
    assert alive.launches[0].stale is None and video.under_way.stale is None
    dead = read_run(output)
    assert "is gone" in dead.launches[0].stale
    assert [one.video_id for one in dead.in_state(State.UNDER_WAY)] == [video.video_id]
    assert "is gone" in dead.videos[video.video_id].under_way.stale
    later = read_run(output, now=datetime.now(UTC) + timedelta(hours=1))
    assert len(later.in_state(State.WAITING)) == 2
