"""The cost of a forecast: bytes against tensors, and a table for every case."""

import json

import pytest
import torch

from benchmarks.forecast_cost import Case, cases, filled_history, main
from spectrum import Features

CPU = torch.device("cpu")


def test_bytes_are_those_of_the_tensors():
    case = Case(size="480p", features=Features.HIDDEN, num_tokens=16, num_snapshots=5)
    histories = [filled_history(case, CPU) for _ in range(2)]
    forecasts = [history.forecast(torch.ones(5, dtype=torch.float64)) for history in histories]
    assert case.moved_bytes == sum(history.num_bytes for history in histories) + sum(one.nbytes for one in forecasts)


def test_velocity_takes_a_hundred_and_sixtieth_of_both_branches_hidden_states():
    hidden, velocity = (Case(size="480p", features=features, num_tokens=16, num_snapshots=8) for features in Features)
    assert hidden.moved_bytes == 2 * 80 * velocity.moved_bytes


def test_published_history_is_that_of_the_design():
    """9.4 and 21.7 GB of snapshots in bfloat16 for both branches; as much again for one branch in float32."""
    whole = {case.size: case.published_bytes for case in cases(["480p", "720p"], 1, None)}
    assert whole["480p"] == pytest.approx(2 * 9.4e9, rel=0.01)
    assert whole["720p"] == pytest.approx(2 * 21.7e9, rel=0.01)


def test_every_case_is_measured(tmp_path, capsys):
    main(["--quick", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    rows = figures["rows"]
    assert {(row["size"], row["features"], row["snapshots"]) for row in rows} == {
        (size, features, count)
        for size in ("480p", "720p")
        for features in ("hidden", "velocity")
        for count in (5, 6, 7, 8)
    }
    assert all(row["over_copy"] == pytest.approx(row["seconds"] / row["copy_seconds"]) for row in rows)
    assert all(row["tokens"] == 256 for row in rows)
    assert capsys.readouterr().out.count("| hidden |") == 8


def test_unknown_sizes_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--sizes", "480p,4k"])
    assert "there is no 4k" in capsys.readouterr().err
