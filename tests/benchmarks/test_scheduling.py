"""The scheduler's benchmark: every video is done, urgent ones first, gangs are kept busy."""

import json
import sys

import pytest

from benchmarks.scheduling import main, measure


@pytest.fixture(scope="module", params=[0.0, 0.01])
def measured(request):
    return measure(8, 300, request.param)


def test_every_video_is_done(measured):
    assert measured["done"] == measured["requests"]


def test_gangs_are_kept_busy_unless_they_are_lost(measured):
    assert measured["busy_share"] > (0.5 if measured["loss_share"] else 0.97)


def test_urgent_videos_begin_first(measured):
    assert measured["waited"]["1"] < 0.5 * measured["waited"]["0"]


def test_table_says_how_long_urgent_and_other_videos_wait(monkeypatch, capsys, tmp_path):
    figures = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["scheduling", "--gangs", "4", "--requests", "60", "--json", str(figures)])
    main()
    heading, _, *rows = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in heading.strip("|").split("|")]
    assert cells[-2:] == ["urgent videos wait, s", "others"]
    for row, measured in zip(rows, json.loads(figures.read_text())["rows"], strict=True):
        urgent, others = (float(cell) for cell in row.strip("|").split("|")[-2:])
        assert urgent == pytest.approx(measured["waited"]["1"], abs=0.06)
        assert others == pytest.approx(measured["waited"]["0"], abs=0.06)
        assert urgent < others
