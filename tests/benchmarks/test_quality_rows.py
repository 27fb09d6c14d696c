"""What is compared: every plan has the full rounds that it is listed under, and nobody has seen the captions."""

from dataclasses import replace

import pytest
import yaml

from benchmarks import quality_rows
from benchmarks.demo_model import SELECTION_SEED, fingerprint
from benchmarks.quality_regimes import HARD, PLAIN, REGIMES
from benchmarks.quality_rows import (
    FEWER_STEPS,
    NUM_STEPS,
    PAPER,
    REFERENCE,
    SWEEP,
    TARGETS,
    missing_calibrations,
    rows_of,
    sweep_rows,
)
from spectrum import ForecastSettings, Method

CALIBRATION = {
    "method": "reuse",
    "plan_shape": "calibrated",
    "calibration": {
        "made_for": {
            "model": fingerprint()[:16],
            "solver": "UniPCMultistepScheduler",
            "num_steps": 50,
            "flow_shift": 3.0,
            "guidance_scale": 5.0,
        },
        "full_steps": list(range(14)),
        "weights": [],
    },
}


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """An empty folder in place of conf/forecast."""
    monkeypatch.setattr(quality_rows, "PROJECT", tmp_path)
    folder = tmp_path / "conf" / "forecast"
    folder.mkdir(parents=True)
    return folder


def test_benchmark_captions_are_none_of_those_that_settings_were_chosen_on():
    own = [request.prompt for request in PLAIN.requests(64)]
    chosen_on = {request.prompt for request in PLAIN.requests(32, dataset_seed=SELECTION_SEED)}
    assert not set(own) & chosen_on
    assert [request.seed for request in PLAIN.requests(64)] == list(range(64))


def test_regimes_render_the_same_captions_with_their_own_guidance_and_shift():
    [plain], [hard] = PLAIN.requests(1), HARD.requests(1)
    assert hard == replace(plain, guidance_scale=9.0, flow_shift=8.0)
    assert (plain.guidance_scale, plain.flow_shift, plain.forecast.method) == (5.0, 3.0, Method.NONE)


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_every_row_runs_the_full_rounds_that_it_is_listed_under(regime, conf):
    [base] = regime.requests(1)
    rows = [*rows_of(regime), *(row for line in sweep_rows(regime).values() for row in line)]
    for row in rows:
        request = row.request(base)
        if row.cache is None and request.forecast.error_budget is None:
            assert request.forecast.plan(request.num_steps).num_full == row.target, row.name


def test_rows_have_names_of_their_own_and_papers_settings_are_the_papers(conf):
    rows = rows_of(PLAIN)
    names = [(row.name, row.target) for row in rows]
    assert len(set(names)) == len(names)
    papers = {row.target: row.forecast for row in rows if row.method == PAPER}
    assert papers == {14: ForecastSettings(), 10: ForecastSettings(growth=3.0)}
    assert {row.target for row in rows if row.method == FEWER_STEPS} == set(TARGETS)
    assert rows[0] is REFERENCE


def test_sigma_axis_has_the_regimes_shift(conf):
    shifts = [row.forecast.axis_shift for row in rows_of(HARD) if "sigma" in row.method]
    assert shifts == [8.0, 8.0]


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_lines_of_the_plot_go_over_the_whole_sweep_or_the_tables_and_more(regime):
    lines = {name: [row.target for row in line] for name, line in sweep_rows(regime).items()}
    assert lines.pop("error budget: damped, velocity, adaptive plan") == [10, 14, 18, 24]
    assert lines.pop("calibrated, calibrated plan") == [10, 14]
    assert lines and all(tuple(targets) == SWEEP for targets in lines.values())


def test_calibrations_are_rows_once_their_files_are_there(conf):
    assert len(missing_calibrations(PLAIN)) == len(TARGETS)
    before = rows_of(PLAIN)
    (conf / "tiny_wan_14.yaml").write_text(yaml.safe_dump(CALIBRATION))
    [row] = [row for row in rows_of(PLAIN) if row not in before]
    assert (row.method, row.target) == ("calibrated", 14)
    assert row.forecast.plan(NUM_STEPS).full_steps == tuple(range(14))
    assert missing_calibrations(PLAIN) == ["conf/forecast/tiny_wan_10.yaml"]


def test_a_calibration_for_something_else_is_refused(conf):
    (conf / "tiny_wan_hard_14.yaml").write_text(yaml.safe_dump(CALIBRATION))
    with pytest.raises(ValueError, match=r"hard regime: flow_shift=3\.0, not 8\.0"):
        rows_of(HARD)


def test_what_decides_the_pixels_is_told_and_defaults_are_not():
    [base] = PLAIN.requests(1)
    told = REFERENCE.as_json(base)
    assert told["request"]["forecast"] == {"method": "none"}
    assert replace(REFERENCE, dtype="bfloat16").as_json(base) != told
    assert replace(REFERENCE, num_steps=14).as_json(base) != told
    assert REFERENCE.as_json(replace(base, seed=7)) != told
    by_row = [row.as_json(base) for row in rows_of(PLAIN)]
    assert all(by_row.count(one) == 1 for one in by_row)
