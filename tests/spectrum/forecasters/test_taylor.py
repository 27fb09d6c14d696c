"""TaylorSeer's weights against its recursion, written as the running cache of the original."""

from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrum import reuse_weights, taylor_weights


def taylorseer(times, features, target, order):
    """The forecast as TaylorSeer makes it: a list of differences, renewed at each full step from the last list."""
    cached = []
    previous = None
    for time, feature in zip(times, features, strict=True):
        renewed = [feature]
        for i in range(min(order, len(cached))):
            renewed.append((renewed[i] - cached[i]) / (time - previous))
        cached, previous = renewed, time
    return sum(difference * (target - previous) ** i / factorial(i) for i, difference in enumerate(cached))


@st.composite
def uneven_times(draw, min_size=1):
    gaps = draw(st.lists(st.integers(1, 8), min_size=min_size, max_size=10))
    times = np.cumsum(gaps).tolist()
    return times, times[-1] + draw(st.integers(1, 10))


@given(video=uneven_times(), order=st.integers(0, 4), seed=st.integers(0, 1000))
@settings(deadline=None)
def test_forecast_equals_taylorseers_recursion_at_uneven_times(video, order, seed):
    times, target = video
    features = np.random.default_rng(seed).standard_normal((len(times), 6))
    weights = taylor_weights(times, target, order=order).numpy()
    expected = taylorseer(times, features, target, order)
    np.testing.assert_allclose(weights @ features, expected, rtol=1e-11, atol=1e-11)


@given(video=uneven_times(min_size=2), start=st.floats(-5, 5), slope=st.floats(-5, 5))
@settings(deadline=None)
def test_order_one_is_exact_on_lines(video, start, slope):
    times, target = video
    line = start + slope * np.asarray(times)
    assert taylor_weights(times, target, order=1).numpy() @ line == pytest.approx(start + slope * target, abs=1e-9)


@given(video=uneven_times())
@settings(deadline=None)
def test_order_zero_is_reuse(video):
    times, target = video
    assert torch.equal(taylor_weights(times, target, order=0), reuse_weights(times, target))


@given(video=uneven_times(), order=st.integers(0, 5))
@settings(deadline=None)
def test_a_constant_is_kept_at_every_order(video, order):
    times, target = video
    weights = taylor_weights(times, target, order=order)
    assert weights.sum().item() == pytest.approx(1, abs=1e-10 * (1 + weights.abs().sum().item()))


@given(
    gap=st.integers(1, 6),
    num_snapshots=st.integers(3, 8),
    ahead=st.integers(1, 10),
    coefficients=st.tuples(*[st.floats(-3, 3)] * 3),
)
@settings(deadline=None)
def test_order_two_adds_the_exact_curvature_of_a_parabola_at_even_times(gap, num_snapshots, ahead, coefficients):
    """Δ² is the second derivative there, but Δ¹ is the slope half a gap back: the forecast is off by just that."""
    times = np.arange(num_snapshots) * gap
    target = int(times[-1]) + ahead
    parabola = np.polynomial.Polynomial(coefficients)
    curvature = 2 * coefficients[2]
    order_one = taylor_weights(times.tolist(), target, order=1).numpy() @ parabola(times)
    order_two = taylor_weights(times.tolist(), target, order=2).numpy() @ parabola(times)
    assert order_two - order_one == pytest.approx(curvature * ahead**2 / 2, abs=1e-8)
    assert order_two - parabola(target) == pytest.approx(-curvature * gap * ahead / 2, abs=1e-8)


@pytest.mark.parametrize("num_snapshots", [1, 2, 3])
def test_a_short_history_lowers_the_order(num_snapshots):
    times = [0, 2, 5][:num_snapshots]
    assert torch.equal(taylor_weights(times, 7, order=9), taylor_weights(times, 7, order=num_snapshots - 1))


def test_only_as_many_snapshots_as_the_order_needs_have_weight():
    weights = taylor_weights([0, 1, 3, 4, 9, 11], 13, order=2)
    assert weights[:3].tolist() == [0.0, 0.0, 0.0]
    assert (weights[3:] != 0).all()
    assert weights.dtype == torch.float64


@pytest.mark.parametrize(
    ("times", "order", "message"),
    [([0, 1], -1, "order=-1"), ([], 1, "times is empty"), ([4, 4], 1, r"times=\[4, 4\].*ascending")],
)
def test_a_bad_argument_is_named_with_its_value(times, order, message):
    with pytest.raises(ValueError, match=message):
        taylor_weights(times, 5, order=order)
