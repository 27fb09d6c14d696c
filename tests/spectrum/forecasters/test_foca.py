"""FoCa's weights on uneven times, against both rules written as conditions on polynomials."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from spectrum import foca_weights


def foca(times, values, target):
    """No formula of the module's: interpolating polynomials, their derivatives, and one linear equation."""
    slope = Polynomial(np.linalg.solve(np.vander(times[-3:] - times[-1], increasing=True), values[-3:])).deriv()(0.0)
    # BDF2: the parabola through the last two snapshots and the prediction has this slope at the target. Its slope
    # there is linear in the prediction.
    nodes = np.append(times[-2:], target) - target

    def slope_at_target(prediction):
        return np.linalg.solve(np.vander(nodes, increasing=True), np.append(values[-2:], prediction))[1]

    offset = slope_at_target(0.0)
    prediction = (slope - offset) / (slope_at_target(1.0) - offset)
    # Heun: the mean of the slope before and of the one to the prediction, over the whole step.
    elapsed = target - times[-1]
    return values[-1] + elapsed * (slope + (prediction - values[-1]) / elapsed) / 2


@given(
    gaps=st.lists(st.integers(1, 8), min_size=3, max_size=8),
    ahead=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_forecast_is_bdf2_and_heun_on_uneven_times(gaps, ahead, seed):
    times = np.cumsum(gaps).astype(np.float64)
    values = np.random.default_rng(seed).standard_normal(len(times))
    weights = foca_weights(times.tolist(), times[-1] + ahead).numpy()
    expected = foca(times, values, times[-1] + ahead)
    assert weights @ values == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(weights).sum())


@pytest.mark.parametrize(
    ("times", "target"), [([0, 1, 3], 4), ([0, 3, 4], 9), ([2, 3, 10], 12), ([0, 1, 2], 3), ([0, 5, 6.5], 8)]
)
def test_error_on_a_parabola_is_known(times, target):
    """Of t²: the slope at t_K is exact, so that with Δ and the gap g before t_K each rule errs by its own share.

    The prediction p errs by e where the slope at t of e·(s − t_{K−1})(s − t_K)/((Δ + g)·Δ) makes up for 2·t_K being
    taken for 2·t: e·(1/Δ + 1/(Δ + g)) = −2Δ. The straight step from t_K errs by −Δ²; the forecast is the mean.
    """
    elapsed, gap = target - times[-1], times[-1] - times[-2]
    of_prediction = -2 * elapsed / (1 / elapsed + 1 / (elapsed + gap))
    error = foca_weights(times, target).numpy() @ np.square(times) - target**2
    assert error == pytest.approx((of_prediction - elapsed**2) / 2, rel=1e-10)


def test_weights_of_one_uneven_history_by_hand():
    """Gaps 2 and 1, one step ahead: the slope is 1/2·(h₁ − h₀)·(−1/3) + (h₂ − h₁)·4/3, and ω = 1."""
    slope = np.array([1 / 6, -1 / 6 - 4 / 3, 4 / 3])
    predicted = (np.array([0, -1, 4]) + 2 * slope) / 3
    expected = (np.array([0, 0, 1]) + slope + predicted) / 2
    np.testing.assert_allclose(foca_weights([0, 2, 3], 4).numpy(), expected, rtol=1e-12)
