"""What a person sees while a batch renders."""

import io
import logging
import re

import pytest
from rich.console import Console

from orchestrator.artifacts import RunFolder
from orchestrator.progress import LiveLines, LogLines, make_view
from orchestrator.reports import Stage
from orchestrator.view import GangProgress, Silent, Views
from spectrum import Round

IDS = ["a" * 16, "b" * 16, "c" * 16]


def at(video_id=IDS[0], stage=Stage.DENOISE, prompt="a red circle", **changes) -> GangProgress:
    return GangProgress(video_id=video_id, prompt=prompt, stage=stage, num_steps=50, **changes)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (at(stage=Stage.ENCODE), "encode  step 0/50"),
        (at(step=3, segment_end=4, round=Round.FULL), "denoise  step 3/50  full"),
        (at(step=25, segment_end=31, round=Round.FULL), "denoise  step 25/50  full + 5 forecast"),
        (at(stage=Stage.DECODE, step=50), "decode  step 50/50"),
    ],
)
def test_line_says_stage_step_and_rounds(progress, line):
    assert progress.describe() == line


def run_a_batch(view, tmp_path, *, num_gangs=2) -> None:
    """Three videos, one done before, the others side by side on two gangs."""
    folder = RunFolder(tmp_path)
    view.starting("loading the model")
    view.batch_begins(total=3, done=1)
    for gang, name in (("gang 0", IDS[0]), ("gang 1", IDS[1])):
        view.gang_at(gang, at(name, Stage.ENCODE))
        for full in range(8):
            view.gang_at(gang, at(name, step=full, segment_end=full + 2, round=Round.FULL, fraction_done=full / 8))
    for gang, name in (("gang 1", IDS[1]), ("gang 0", IDS[0])):
        view.video_done(gang, name, folder.video(name))
        view.gang_idle(gang)


def test_log_has_a_line_for_each_stage_quarter_and_video(tmp_path, caplog):
    view = LogLines(2)
    with caplog.at_level(logging.INFO, "orchestrator"):
        run_a_batch(view, tmp_path)
        view.close()
    lines = caplog.messages
    assert lines[0] == "loading the model"
    assert lines[1] == "3 videos, 1 of them done before"
    of_first_gang = [line for line in lines if line.startswith("gang 0")]
    assert sum("denoise" in line for line in of_first_gang) == 4, "a quarter each, not one for each round"
    assert any("done in" in line and "3/3" in line and f"{IDS[0]}/video.mp4" in line for line in of_first_gang)
    assert all("ETA" in line for line in lines if line.startswith("gang"))
    assert "ETA –" in lines[2]


def test_eta_is_that_of_the_last_published_video_where_others_decode(tmp_path, caplog, monkeypatch):
    """Two of four videos denoised in 100 s each by one gang, one of them decoded in 10 s."""
    now = 0.0
    monkeypatch.setattr("orchestrator.progress.monotonic", lambda: now)
    view = LogLines(1, decoders=["decoder 0"])
    with caplog.at_level(logging.INFO, "orchestrator"):
        view.batch_begins(total=4, done=0)
        for name in IDS[:2]:
            view.gang_at("gang 0", at(name, step=0, segment_end=1, round=Round.FULL))
            now += 100
            view.gang_at("gang 0", at(name, Stage.DECODE, step=50, fraction_done=1.0))
            view.gang_idle("gang 0")
        view.gang_at("decoder 0", at(IDS[0], Stage.DECODE, step=50, fraction_done=1.0))
        now += 10
        view.video_done("decoder 0", IDS[0], RunFolder(tmp_path).video(IDS[0]))
        view.video_failed("d" * 16, "rank 0 died")
        view.gang_at("gang 0", at(IDS[2], step=0, segment_end=1, round=Round.FULL))
    assert "1/4  ETA 3:30" in caplog.messages[-3], "two to denoise, and the decode of the last"
    assert "ETA 1:50" in caplog.messages[-1], "one to denoise: the other was set aside"


def test_log_line_cannot_be_broken_by_a_prompt(tmp_path, caplog):
    view = LogLines(1)
    with caplog.at_level(logging.INFO, "orchestrator"):
        view.batch_begins(total=1, done=0)
        view.gang_at("gang 0", at(prompt="one\ntwo %s %d [bold]", step=0, segment_end=1))
    assert all("\n" not in message for message in caplog.messages)


def test_live_lines_show_gangs_and_batch_and_go_away_at_the_end(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=20)
    view = LiveLines(2, console)
    view.starting("loading the model")
    view._live.refresh()
    view.batch_begins(total=3, done=1)
    view.gang_at("gang 0", at(step=25, segment_end=31, round=Round.FULL, fraction_done=0.5))
    view.gang_idle("gang 1")
    view._live.refresh()
    view.close()
    shown = console.file.getvalue()
    for text in ("loading the model", "gang 0", "full + 5 forecast", "a red circle", "idle", "1/3 videos", "ETA"):
        assert text in shown


@pytest.mark.parametrize("prompt", ["[bold]x[/wrong]", "[/]", "one\ntwo", "🎈" * 300, "\x1b[31mred", ""])
def test_live_lines_stand_any_prompt(prompt):
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=10)
    view = LiveLines(1, console)
    view.batch_begins(total=1, done=0)
    view.gang_at("gang 0", at(prompt=prompt, step=0, segment_end=1, round=Round.FULL))
    view._live.refresh()
    view.close()
    assert "0/1 videos" in console.file.getvalue()


HOSTILE = "a circle \x1b]0;owned\x07\x1b[2J\x9b3J \u202egnp"


def all_of(view, tmp_path) -> None:
    """A video with such a prompt, whose gang is lost and which is set aside, with errors that quote it."""
    view.batch_begins(total=2, done=0)
    view.gang_at("gang 0", at(prompt=HOSTILE, step=0, segment_end=1, round=Round.FULL))
    if isinstance(view, LiveLines):
        view._live.refresh()
    view.gang_lost("gang 0", f"rank 0 failed: {HOSTILE}")
    view.video_failed(IDS[0], f"rank 0 failed: {HOSTILE}")
    view.close()


def test_plain_lines_hold_no_control_characters(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "orchestrator"):
        all_of(LogLines(1), tmp_path)
    assert sum("a circle ]0;owned" in message for message in caplog.messages) == 2
    assert all(message.isprintable() for message in caplog.messages)


def test_live_lines_hold_no_control_characters_but_their_own(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=200, height=10)
    all_of(LiveLines(1, console), tmp_path)
    shown = console.file.getvalue()
    assert shown.count("a circle ]0;owned") >= 3
    assert "\x1b[2J" not in shown
    own = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]")
    assert own.sub("", shown).isprintable()


def test_closing_twice_or_before_anything_is_shown_does_no_harm():
    console = Console(file=io.StringIO(), force_terminal=True)
    for view in (LiveLines(1, console), LogLines(1), Silent()):
        view.close()
        view.close()


def test_view_is_live_on_a_terminal_only():
    assert isinstance(make_view(1, Console(file=io.StringIO(), force_terminal=True)), LiveLines)
    assert isinstance(make_view(1, Console(file=io.StringIO())), LogLines)


def test_silent_view_shows_nothing(tmp_path, caplog, capsys):
    with caplog.at_level(logging.INFO):
        run_a_batch(Silent(), tmp_path)
    assert caplog.messages == []
    assert capsys.readouterr() == ("", "")


def test_several_views_are_told_of_the_same(tmp_path, caplog):
    views = [LogLines(2), LogLines(2)]
    with caplog.at_level(logging.INFO, "orchestrator"):
        run_a_batch(Views(*views), tmp_path)
    assert caplog.messages[::2] == caplog.messages[1::2]


def test_every_view_is_closed_though_one_fails():
    class Broken(Silent):
        def close(self):
            raise OSError("broken")

    class Open(Silent):
        is_closed = False

        def close(self):
            self.is_closed = True

    first, last = Open(), Open()
    with pytest.raises(OSError, match="broken"):
        Views(first, Broken(), last).close()
    assert first.is_closed and last.is_closed
