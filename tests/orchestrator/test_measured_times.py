"""What is learned from the records of an earlier run."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.measured_times import read_measured
from orchestrator.reports import Stage
from parallel.layout import Layout
from spectrum import Features


def test_folder_without_finished_videos_teaches_nothing(tmp_path, write_run):
    assert read_measured(tmp_path / "nowhere") is None
    run = write_run(1)
    next(run.glob("*/video.mp4")).unlink()
    assert read_measured(run) is None


def test_rounds_and_stages_are_averaged_over_the_videos(write_run):
    run = read_measured(write_run(3, full=0.5, forecast=0.1))
    assert run is not None and len(run.videos) == 3
    assert run.mean_full_round() == pytest.approx(0.5)
    assert run.mean_forecast_round(Features.HIDDEN) == pytest.approx(0.1)
    assert run.mean_stage(Stage.DECODE) == pytest.approx(0.4)
    assert run.gather_seconds() == pytest.approx(0.05)


def test_videos_that_were_taken_up_again_and_damaged_records_are_left_out(write_run):
    folder = write_run(3)
    records = sorted(folder.glob("*/video.json"))
    records[0].write_text(records[0].read_text().replace('"resumed": []', '"resumed": ["step 5 (full)"]'))
    records[1].write_text("{")
    run = read_measured(folder)
    assert run is not None and len(run.videos) == 1


def test_only_videos_of_the_same_condition_count(write_run):
    run = read_measured(write_run(2))
    assert run is not None
    condition = run.videos[0].condition
    assert condition.layout == Layout(ulysses=2) and condition.is_guided
    assert len(run.like(condition).videos) == 2
    for change in ({"height": 480}, {"layout": Layout()}, {"is_guided": False}, {"fingerprint": "g"}):
        assert not run.like(condition._replace(**change)).videos


def test_time_until_gangs_render_is_known_of_a_run_with_one_launch(write_run):
    folder = write_run(2, began=12.0)
    run = read_measured(folder)
    assert run is not None and run.start_seconds == pytest.approx(12.0, abs=0.01)
    (folder / "launches" / "2-of-2.jsonl").write_text("{}\n")
    run = read_measured(folder)
    assert run is not None and run.start_seconds is None


def test_later_launch_that_only_rendered_the_rest_is_not_taken_for_the_start(write_run):
    folder = write_run(2, began=-1000.0)
    run = read_measured(folder)
    assert run is not None and run.start_seconds is None


def test_gangs_side_by_side_are_told_from_pauses_between_videos(write_run):
    alone = read_measured(write_run(4, pause=0.5))
    assert alone is not None
    assert (alone.side_by_side, alone.pause_seconds) == (1, pytest.approx(0.5, abs=0.01))
    both = read_measured(write_run(4, at_once=2))
    assert both is not None
    assert (both.side_by_side, both.pause_seconds) == (2, 0)


def test_finishing_times_are_known_to_the_millisecond(write_run):
    run = read_measured(write_run(1))
    assert run is not None
    assert run.videos[0].finished - datetime(2026, 1, 1, tzinfo=UTC) > timedelta(0)
