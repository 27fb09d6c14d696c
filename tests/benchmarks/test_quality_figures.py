"""Figures of records whose answers are known."""

import pytest

from benchmarks.quality_figures import compared, errors_of, figures, mean_and_error, sweep_of, table_of
from benchmarks.quality_regimes import PLAIN
from benchmarks.quality_report import markdown
from benchmarks.quality_rows import ALL_FULL, FEWER_STEPS, PAPER, SWEEP


def record(psnr, *, seconds=1.0, rounds=14, everything=True, errors=()):
    return {
        "psnr": psnr,
        "ssim": psnr / 100,
        "seconds": seconds,
        "full_rounds": rounds,
        "marks": {"everything": everything},
        "forecast_errors": list(errors),
    }


def test_mean_and_standard_error():
    mean, error = mean_and_error([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert error == pytest.approx((5 / 3) ** 0.5 / 2)
    assert mean_and_error([7.0]) == (7.0, 0.0)


def test_figures_of_a_row():
    found = {
        0: record(30.0, seconds=2.0, rounds=14, everything=False),
        1: record(20.0, seconds=2.5, rounds=16),
        2: record(40.0, seconds=4.0, rounds=15),
    }
    reference = {caption: record(100.0, seconds=10.0) for caption in (0, 1)}
    row = figures(found, reference)
    assert row["psnr"] == 30.0
    assert row["psnr_worst"] == 20.0
    assert row["full_rounds"] == 15
    assert row["all_marks"] == pytest.approx(2 / 3)
    assert row["speedup"] == 4.5  # the median of 5 and 4: of caption 2 there is no reference yet
    assert row["captions"] == 3


def test_differences_are_paired_over_the_captions_that_both_have():
    own, other = {0: record(31.0), 1: record(25.0), 2: record(90.0)}, {0: record(30.0), 1: record(22.0)}
    assert compared("to", own, other) == {"to": 2.0, "to_error": pytest.approx(1.0), "to_better": 1.0}
    assert compared("to", own, {}) == {}


def test_table_compares_with_the_papers_row_of_the_same_full_rounds():
    decibels = {
        (PAPER, 14): 30.0,
        (PAPER, 10): 20.0,
        (FEWER_STEPS, 14): 33.0,
        (FEWER_STEPS, 10): 18.0,
        (ALL_FULL, 50): 100,
    }

    def find(row):
        key = (row.method, row.target)
        return {0: record(decibels[key], rounds=row.target)} if key in decibels else {}

    rows = {(row["method"], row["target"]): row for row in table_of(PLAIN, find)}
    assert set(rows) == set(decibels)
    assert rows[FEWER_STEPS, 14]["to_paper"] == 3.0
    assert rows[FEWER_STEPS, 10]["to_paper"] == -2.0
    assert rows[PAPER, 10]["to_fewer_steps"] == 2.0
    assert "to_paper" not in rows[PAPER, 14] and "to_paper" not in rows[ALL_FULL, 50]
    text = markdown(PLAIN, list(rows.values()))
    assert "+3.0 ± 0.0" in text and "-2.0 ± 0.0" in text
    tables = text.split("\n\n")[1:]
    assert [len(table.splitlines()) for table in tables] == [3, 4, 4]
    assert len({len(line) for line in tables[1].splitlines()}) == 1


def test_table_says_what_could_not_be_run_and_who_has_fewer_captions():
    base = {"regime": "plain", "plan": "", "target": 14}
    whole = {**base, "method": "a", **figures({0: record(30.0), 1: record(31.0)}, {})}
    part = {**base, "method": "b", **figures({0: record(30.0)}, {})}
    broken = {
        **base,
        "method": "c",
        **figures({0: {"error": "RuntimeError: no"}, 1: {"error": "RuntimeError: no"}}, {}),
    }
    text = markdown(PLAIN, [whole, part, broken])
    assert "captions: 2" in text.splitlines()[0]
    assert "b (captions: 1)" in text and "a (" not in text
    assert "cannot be run: RuntimeError: no" in text


def test_points_of_the_plot_are_over_the_captions_that_all_have():
    def find(row):
        found = {caption: record(psnr + row.target, rounds=row.target) for caption, psnr in enumerate((30.0, 32.0))}
        return found if row.target != 8 else {1: found[1]}

    lines = sweep_of(PLAIN, find, 4)
    assert [point["full_rounds"] for point in lines[FEWER_STEPS]] == list(SWEEP)
    for line in lines.values():
        rounds = [point["full_rounds"] for point in line]
        assert rounds == sorted(rounds)
        assert [point["psnr"] for point in line] == [32.0 + one for one in rounds]
        assert {point["captions"] for point in line} == {1}
    assert sweep_of(PLAIN, lambda row: {}, 4) == {}


def test_errors_along_the_steps_are_means_over_captions():
    def find(row):
        if row.method != PAPER:
            return {}
        return {0: record(1, errors=[[3, 0.1], [6, 0.3]]), 1: record(1, errors=[[3, 0.3]])}

    assert errors_of(PLAIN, find, 14) == {f"{PAPER}, paper plan": {3: pytest.approx(0.2), 6: 0.3}}
