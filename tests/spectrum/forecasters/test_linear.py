"""What holds for every linear forecaster: what is exact, how its error falls, and what it refuses."""

from functools import partial
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectrum import adams_weights, damped_weights, foca_weights, reuse_weights, taylor_weights
from spectrum.forecasters import forecast_weights

FORECASTERS = {
    "reuse": reuse_weights,
    "damped": damped_weights,
    "damped 1": partial(damped_weights, damping=1.0),
    "taylor 1": partial(taylor_weights, order=1),
    "taylor 2": partial(taylor_weights, order=2),
    "taylor 3": partial(taylor_weights, order=3),
    "adams 1": partial(adams_weights, order=1),
    "adams 2": partial(adams_weights, order=2),
    "adams 3": partial(adams_weights, order=3),
    "foca": foca_weights,
    "spectrum": partial(forecast_weights, num_steps=50),
    "spectrum, free constant": partial(forecast_weights, num_steps=50, penalise_constant=False),
    "spectrum, recent": partial(forecast_weights, num_steps=50, half_life=3.0),
}
UNBIASED = [name for name in FORECASTERS if name not in {"spectrum", "spectrum, recent"}]
"""Whose weights sum to 1."""
SECOND_ORDER = {
    **{"damped 1": 1, "taylor 1": 1, "taylor 2": 1 / 2, "taylor 3": 1 / 2},
    **{"adams 1": 1, "adams 2": 1 / 2, "adams 3": 1 / 2, "foca": 7 / 12},
}
"""Share of h²·f″ that a forecast one step of h ahead lacks, where steps are even.

No order of a forecaster makes it better than second: TaylorSeer's differences and the slopes of Adams are those half
a gap before the snapshot that they are taken for.
"""
EXACT_ON_LINES = ["damped 1", "taylor 1", "adams 1", "adams 2", "adams 3", "foca"]

histories = st.lists(st.integers(0, 40), min_size=1, max_size=9, unique=True).map(sorted)


@pytest.mark.parametrize("name", FORECASTERS)
@given(times=histories, ahead=st.integers(1, 8))
def test_weights_are_float64_on_the_host_one_a_snapshot(name, times, ahead):
    weights_K = FORECASTERS[name](times, times[-1] + ahead)
    assert weights_K.shape == (len(times),) and weights_K.dtype == torch.float64 and weights_K.device.type == "cpu"
    assert weights_K.isfinite().all()


@pytest.mark.parametrize("name", UNBIASED)
@given(times=histories, ahead=st.integers(1, 8))
def test_a_constant_is_forecast_exactly(name, times, ahead):
    assert abs(FORECASTERS[name](times, times[-1] + ahead).sum() - 1) < 1e-9


def test_the_papers_ridge_shrinks_a_constant_and_the_switch_does_not():
    """The control of the test above."""
    times = [0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 25, 31, 38]
    assert FORECASTERS["spectrum"](times, 45).sum() < 0.75
    assert abs(FORECASTERS["spectrum, free constant"](times, 45).sum() - 1) < 1e-12


@pytest.mark.parametrize("name", EXACT_ON_LINES)
@given(times=histories.filter(lambda times: len(times) > 1), ahead=st.integers(1, 8), slope=st.floats(-3, 3))
def test_a_straight_line_is_forecast_exactly(name, times, ahead, slope):
    values = torch.tensor([1 + slope * time for time in times], dtype=torch.float64)
    weights_K = FORECASTERS[name](times, times[-1] + ahead)
    scale = 1 + weights_K.abs().sum() * values.abs().max()
    assert abs(weights_K @ values - (1 + slope * (times[-1] + ahead))) < 1e-12 * scale


@pytest.mark.parametrize("name", FORECASTERS)
def test_one_snapshot_is_reused(name):
    weights_K = FORECASTERS[name]([3], 5)
    if name in UNBIASED:
        assert weights_K.tolist() == pytest.approx([1.0])
    else:
        assert 0 < float(weights_K) < 1, "the paper's ridge shrinks it"


@pytest.mark.parametrize(
    ("name", "order"),
    [("reuse", 1), ("damped", 1), *((name, 2) for name in SECOND_ORDER)],
)
def test_error_on_a_smooth_function_falls_with_the_forecasters_order(name, order):
    """Snapshots h apart, a forecast h ahead: the error falls as h to the order."""

    def error(h: float) -> float:
        times = [1 - 3 * h, 1 - 2 * h, 1 - h, 1.0]
        weights_K = FORECASTERS[name](times, 1 + h)
        return abs(float(weights_K @ torch.tensor(times, dtype=torch.float64).sin()) - np.sin(1 + h))

    assert log2(error(0.02) / error(0.01)) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("name", "share"), SECOND_ORDER.items())
def test_leading_error_on_even_steps_is_known(name, share):
    h, values = 1e-3, torch.arange(-4, 1, dtype=torch.float64) * 1e-3
    error = float(FORECASTERS[name]((values + 1).tolist(), 1 + h) @ (values + 1).exp()) - np.exp(1 + h)
    assert error == pytest.approx(-share * h**2 * np.e, rel=0.01)


@pytest.mark.parametrize("name", FORECASTERS)
@pytest.mark.parametrize(("times", "message"), [([], "empty"), ([2, 1], "ascending"), ([1, 1], "ascending")])
def test_times_that_are_none_are_refused(name, times, message):
    with pytest.raises(ValueError, match=message):
        FORECASTERS[name](times, 5)


@pytest.mark.parametrize(
    ("forecaster", "arguments", "message"),
    [
        (damped_weights, {"damping": 1.5}, "damping=1.5"),
        (damped_weights, {"damping": -0.1}, "damping=-0.1"),
        (adams_weights, {"order": 0}, "order=0"),
        (forecast_weights, {"num_steps": 50, "half_life": 0.0}, "half_life=0.0"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(forecaster, arguments, message):
    with pytest.raises(ValueError, match=message):
        forecaster([0, 1], 2, **arguments)


def test_damping_goes_from_reuse_to_the_line():
    assert damped_weights([0, 4], 6, damping=0.0).tolist() == [0.0, 1.0]
    assert damped_weights([0, 4], 6, damping=1.0).tolist() == [-0.5, 1.5]
    assert damped_weights([0, 4], 6, damping=0.5).tolist() == [-0.25, 1.25]


def test_adams_order_two_is_the_textbooks_on_even_steps():
    """3/2·f_K − 1/2·f_{K−1} for one step ahead; f are backward differences."""
    assert adams_weights([0, 1, 2], 3, order=2).tolist() == pytest.approx([0.5, -2.0, 2.5])


def test_adams_order_three_is_the_textbooks_on_even_steps():
    """(23·f_K − 16·f_{K−1} + 5·f_{K−2})/12 for one step ahead; f are backward differences."""
    assert adams_weights([0, 1, 2, 3], 4, order=3).tolist() == pytest.approx([-5 / 12, 21 / 12, -39 / 12, 35 / 12])


def test_recency_takes_weight_from_old_snapshots():
    times = [0, 1, 2, 3, 4, 6, 8, 11, 15]
    even, recent = FORECASTERS["spectrum"](times, 18), FORECASTERS["spectrum, recent"](times, 18)
    assert recent[:4].abs().sum() < even[:4].abs().sum()
