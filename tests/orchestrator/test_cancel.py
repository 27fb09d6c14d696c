"""Videos that somebody takes out of a run."""

import json

import pytest
from bookkeeping import BookkeepingPool, Diary, begun_by, methods, render

from orchestrator.artifacts import RunFolder, publish_json, replace_json
from orchestrator.attempts import CANCELLED, set_aside
from orchestrator.cancel import main
from orchestrator.checkpoint_store import generations
from orchestrator.standing import Standing, standings

IDS = [letter * 16 for letter in "abcd"]


@pytest.fixture
def run_folder(tmp_path):
    """A run of four videos, two of one name; the first is done."""
    folder = RunFolder(tmp_path / "run")
    folder.launches.mkdir(parents=True)
    names = ["harbour", "rain", "rain", None]
    launch = {"job_name": "demo", "host": "elsewhere", "pid": 7, "began": "2026-01-01T00:00:00+00:00"}
    lines = [launch] + [
        {"video_id": one, "name": name, "priority": 0, "seed": 3, "prompt": f"prompt of {one}"}
        for one, name in zip(IDS, names, strict=True)
    ]
    folder.launch_entries("all").write_text("".join(json.dumps(line) + "\n" for line in lines))
    replace_json(folder.launch_progress("all"), launch | {"process_began": 0.0, "phase": None, "gangs": {}})
    publish_json(folder.video(IDS[0]).sidecar, {})
    folder.video(IDS[0]).video.touch()
    return folder


def failures(run_folder) -> set[str]:
    return {video_id for video_id in IDS if run_folder.video(video_id).failure.exists()}


def test_videos_are_cancelled_by_id_and_by_name(run_folder, capsys):
    assert main([str(run_folder.root), IDS[3], "rain"]) == 0
    assert failures(run_folder) == {*IDS[1:]}
    assert capsys.readouterr().out.splitlines() == [
        f"cancelled: {IDS[3]}  prompt of {IDS[3]}",
        f"cancelled: {IDS[1]}  rain",
        f"cancelled: {IDS[2]}  rain",
    ]
    assert set(standings(run_folder, IDS[1:]).values()) == {Standing.SET_ASIDE}


def test_what_was_set_aside_keeps_its_error(run_folder, capsys):
    set_aside(run_folder.video(IDS[1]), attempts=3, cause="ValueError: wrong", details="Traceback")
    assert main([str(run_folder.root), "rain"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"set aside already: {IDS[1]}  rain",
        f"cancelled: {IDS[2]}  rain",
    ]
    assert "wrong" in run_folder.video(IDS[1]).failure.read_text()


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("../../etc", "is no id and no name"), ("\x1b[2J", "is no id and no name"), ("harbour", "is done already")],
)
def test_what_cannot_be_cancelled_is_said_in_one_line_and_nothing_is(run_folder, capsys, wanted, why):
    assert main([str(run_folder.root), IDS[3], wanted]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: VIDEO=") and why in line and "\x1b" not in line
    assert failures(run_folder) == set()


def test_folder_that_is_no_run_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path), IDS[0]]) == 2
    assert capsys.readouterr().err.count("\n") == 1


class CancellingPool(BookkeepingPool):
    """Somebody cancels videos when a gang is told to do something for the n-th time."""

    def __init__(self, num_gangs, run_folder, cancelled, *, method, at, **options) -> None:
        super().__init__(num_gangs, **options)
        self._run_folder, self._cancelled, self._left = run_folder, cancelled, at
        self._method = method

    def submit(self, gang, command, **options):
        if command.method == self._method:
            self._left -= 1
            if self._left == 0:
                for video_id in self._cancelled:
                    set_aside(self._run_folder.video(video_id), attempts=None, cause=CANCELLED, details="")
        super().submit(gang, command, **options)


def test_video_under_way_is_left_after_its_segment_and_those_to_come_are_passed_over(tmp_path, make_batch):
    batch, run_folder, diary = make_batch(5, num_steps=20), RunFolder(tmp_path), Diary()
    first, second, third, *others = batch
    pool = CancellingPool(1, run_folder, [first, third], method="denoise", at=3)
    outcome = render(pool, batch, run_folder, diary)
    assert outcome.failed == {first: CANCELLED, third: CANCELLED}
    assert diary.done == [second, *others] and sorted(diary.failed) == sorted([first, third])
    assert methods(pool)[:6] == ["prepare", "encode", "denoise", "denoise", "denoise", "encode"]
    assert begun_by(pool) == [first, second, *others]


def test_what_was_kept_of_a_cancelled_video_is_gone_on_from_once_it_is_wanted_again(tmp_path, make_batch):
    batch, run_folder = make_batch(1, num_steps=20), RunFolder(tmp_path)
    [video_id] = batch
    pool = CancellingPool(1, run_folder, [video_id], method="denoise", at=5)
    render(pool, batch, run_folder, checkpoint_every=2.0)
    assert generations(run_folder.video(video_id).checkpoints)
    untouched = BookkeepingPool(1)
    assert list(render(untouched, batch, run_folder).failed) == [video_id] and not untouched.commands
    again = BookkeepingPool(1)
    assert not render(again, batch, run_folder, retry_failed=True).failed
    assert "resume" in methods(again)


def test_video_that_is_denoised_by_then_is_finished(tmp_path, make_batch):
    batch, run_folder, diary = make_batch(1, num_steps=4), RunFolder(tmp_path), Diary()
    [video_id] = batch
    pool = CancellingPool(1, run_folder, [video_id], method="decode", at=1, num_decoders=1)
    outcome = render(pool, batch, run_folder, diary)
    assert not outcome.failed and diary.done == [video_id]
    assert not run_folder.video(video_id).failure.exists()


def test_cancelled_video_whose_gang_is_lost_is_not_tried_again(tmp_path, make_batch):
    batch, run_folder = make_batch(1, num_steps=20), RunFolder(tmp_path)
    [video_id] = batch
    pool = CancellingPool(1, run_folder, [video_id], method="denoise", at=2, failures={4: "rank 0 died"})
    outcome = render(pool, batch, run_folder, backoff_seconds=0.0)
    assert outcome.failed == {video_id: CANCELLED} and len(pool.lost) == 1
    assert json.loads(run_folder.video(video_id).failure.read_text())["error"] == CANCELLED
