"""Forecast weights against closed forms written another way, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev as npcheb

from spectrum import History, chebyshev_basis, forecast_weights, plan_rounds
from spectrum.forecasters.times import line_weights

PLAN_14 = plan_rounds(50, growth=0.75).full_steps
PLAN_10 = plan_rounds(50, growth=3).full_steps


def history_at(full_steps, step):
    return [earlier for earlier in full_steps if earlier < step]


def basis(steps, num_steps, degree):
    return npcheb.chebvander(2 * np.asarray(steps, dtype=np.float64) / num_steps - 1, degree)


def ridge_coefficients(times, values, *, num_steps, degree, ridge):
    """argmin ‖Φc − values‖² + λ‖c‖², a separate problem for every column of `values`, by SVD."""
    augmented = np.vstack([basis(times, num_steps, degree), np.sqrt(ridge) * np.eye(degree + 1)])
    padded = np.vstack([values, np.zeros((degree + 1, values.shape[1]))])
    return np.linalg.lstsq(augmented, padded, rcond=None)[0]


def primal_weights(times, target, *, num_steps, degree, ridge):
    coefficients = ridge_coefficients(times, np.eye(len(times)), num_steps=num_steps, degree=degree, ridge=ridge)
    return basis([target], num_steps, degree)[0] @ coefficients


def dual_weights(times, target, *, num_steps, degree, ridge):
    """The kernel form w = (ΦΦᵀ + λI)⁻¹ Φ φ(τ*), which solves for K weights and not for M + 1 coefficients."""
    phi = basis(times, num_steps, degree)
    return np.linalg.solve(phi @ phi.T + ridge * np.eye(len(times)), phi @ basis([target], num_steps, degree)[0])


@st.composite
def videos(draw, min_snapshots=1):
    """(times, target, num_steps): full rounds of a video and a later step to forecast."""
    num_steps = draw(st.integers(max(4, min_snapshots + 1), 100))
    target = draw(st.integers(min_snapshots, num_steps - 1))
    times = draw(st.sets(st.integers(0, target - 1), min_size=min_snapshots, max_size=20))
    return sorted(times), target, num_steps


@given(angles=st.lists(st.floats(0, np.pi), min_size=1, max_size=9), degree=st.integers(0, 12))
@settings(deadline=None)
def test_basis_is_the_cosine_of_multiples_of_the_angle(angles, degree):
    theta = np.asarray(angles)
    expected = np.cos(theta[:, None] * np.arange(degree + 1))
    actual = chebyshev_basis(torch.from_numpy(np.cos(theta)), degree)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-11)


def test_basis_keeps_the_dtype_of_the_times():
    assert chebyshev_basis(torch.zeros(3, dtype=torch.float32), 2).dtype == torch.float32
    assert chebyshev_basis(torch.zeros(3, dtype=torch.float64), 0).shape == (3, 1)


@given(video=videos(), degree=st.integers(0, 8), ridge=st.floats(1e-3, 10))
@settings(deadline=None)
def test_weights_equal_the_augmented_least_squares_solution(video, degree, ridge):
    times, target, num_steps = video
    actual = forecast_weights(times, target, num_steps=num_steps, degree=degree, ridge=ridge)
    expected = primal_weights(times, target, num_steps=num_steps, degree=degree, ridge=ridge)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-9)


@given(video=videos(), degree=st.integers(0, 8), ridge=st.floats(1e-2, 10))
@settings(deadline=None)
def test_weights_equal_the_kernel_form_of_ridge_regression(video, degree, ridge):
    times, target, num_steps = video
    actual = forecast_weights(times, target, num_steps=num_steps, degree=degree, ridge=ridge)
    expected = dual_weights(times, target, num_steps=num_steps, degree=degree, ridge=ridge)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("full_steps", [PLAN_14, PLAN_10])
def test_every_forecast_of_the_papers_plans_equals_the_normal_equations(full_steps):
    for target in set(range(50)) - set(full_steps):
        times = history_at(full_steps, target)
        phi = basis(times, 50, 4)
        normal = phi.T @ phi + 0.1 * np.eye(5)
        expected = phi @ np.linalg.solve(normal, basis([target], 50, 4)[0])
        np.testing.assert_allclose(forecast_weights(times, target, num_steps=50).numpy(), expected, rtol=0, atol=1e-9)


@given(video=videos(), ridge=st.floats(0, 10))
@settings(deadline=None)
def test_degree_zero_is_the_shrunken_mean(video, ridge):
    times, target, num_steps = video
    actual = forecast_weights(times, target, num_steps=num_steps, degree=0, ridge=ridge)
    np.testing.assert_allclose(actual.numpy(), 1 / (len(times) + ridge), rtol=1e-12)


@given(video=videos(min_snapshots=5), degree=st.integers(0, 4), data=st.data())
@settings(deadline=None)
def test_without_ridge_polynomials_up_to_the_degree_are_forecast_exactly(video, degree, data):
    times, target, num_steps = video
    coefficients = np.asarray(data.draw(st.lists(st.floats(-1, 1), min_size=degree + 1, max_size=degree + 1)))
    weights = forecast_weights(times, target, num_steps=num_steps, degree=degree, ridge=0).numpy()
    truth = basis([target], num_steps, degree)[0] @ coefficients
    # Rounding grows with the weights, which are large when a long gap follows a short history.
    assert abs(weights @ basis(times, num_steps, degree) @ coefficients - truth) < 1e-9 * (1 + np.abs(weights).sum())


@pytest.mark.parametrize("full_steps", [PLAN_14, PLAN_10])
def test_forecast_of_a_polynomial_becomes_exact_as_the_ridge_goes_to_zero(full_steps):
    coefficients = np.random.default_rng(0).standard_normal((5, 200))
    times = history_at(full_steps, 43)
    values, truth = basis(times, 50, 4) @ coefficients, basis([43], 50, 4)[0] @ coefficients
    errors = []
    for ridge in (1e-1, 1e-4, 1e-8, 1e-12):
        weights = forecast_weights(times, 43, num_steps=50, ridge=ridge).numpy()
        errors.append(np.abs(weights @ values - truth).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1
    assert errors[-1] < 1e-6


def test_weights_on_the_history_equal_ridge_coefficients_solved_for_every_element_on_every_slice():
    """The forecast splits over ranks: K scalar weights, against M + 1 coefficients for every element.

    The published code solves the ridge problem for the coefficients c (M + 1, elements) of all features and evaluates
    φ(τ*)ᵀc. Here two ranks each hold half the tokens. On each half the coefficients of every element are solved for,
    with no use of the weights; the result must be what the history makes of K scalars that saw no feature at all,
    the same K on both. So no rank needs another's features, nor the coefficients.
    """
    times, target = history_at(PLAN_14, 45), 45
    features_KSD = torch.randn(len(times), 12, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights_K = forecast_weights(times, target, num_steps=50, degree=4, ridge=0.1)

    for tokens in (slice(0, 5), slice(5, 12)):
        history = History(len(times))
        for step, features_SD in zip(times, features_KSD, strict=True):
            history.append(step, features_SD[tokens])
        held = features_KSD[:, tokens]
        coefficients = ridge_coefficients(
            times, held.flatten(1).numpy(), num_steps=50, degree=4, ridge=0.1
        )  # (M + 1, elements of this rank)
        solved = (basis([target], 50, 4)[0] @ coefficients).reshape(held.shape[1:])
        np.testing.assert_allclose(history.forecast(weights_K).numpy(), solved, rtol=0, atol=1e-10)


def switched_weights(times, target, *, num_steps, degree, ridge, penalise_constant, half_life):
    """The forecast of each snapshot's unit vector, whose coefficients are one augmented least-squares problem.

    With `penalise_constant` off the penalty leaves out the constant, and the fit goes through the newest snapshot:
    coefficients c₀ + N·z, where c₀ is the newest value as a constant, and N spans what vanishes at the newest time.
    """
    age = np.arange(len(times))[::-1]
    root = np.ones(len(times)) if half_life is None else np.sqrt(0.5 ** (age / half_life))
    phi = basis(times, num_steps, degree)
    penalty = np.sqrt(ridge) * np.eye(degree + 1)
    start, free = np.zeros((degree + 1, len(times))), np.eye(degree + 1)
    if not penalise_constant:
        penalty[0, 0] = 0
        start[0, -1] = 1
        free = np.linalg.svd(phi[-1:])[2][1:].T
    augmented = np.vstack([root[:, None] * phi, penalty])
    wanted = np.vstack([np.diag(root), np.zeros((degree + 1, len(times)))]) - augmented @ start
    coefficients = start + free @ np.linalg.lstsq(augmented @ free, wanted, rcond=None)[0]
    return basis([target], num_steps, degree)[0] @ coefficients


@pytest.mark.parametrize("penalise_constant", [True, False])
@given(
    video=videos(),
    degree=st.integers(1, 6),
    ridge=st.floats(1e-2, 10),
    half_life=st.one_of(st.none(), st.floats(0.5, 20)),
)
@settings(deadline=None)
def test_switches_of_the_fit_equal_the_augmented_least_squares_solution(
    video, degree, ridge, half_life, *, penalise_constant
):
    times, target, num_steps = video
    switches = {"degree": degree, "ridge": ridge, "half_life": half_life, "penalise_constant": penalise_constant}
    actual = forecast_weights(times, target, num_steps=num_steps, **switches)
    expected = switched_weights(times, target, num_steps=num_steps, **switches)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-8)


def test_a_half_life_of_one_halves_the_weight_of_each_older_snapshot_in_the_mean():
    """Of degree 0, where the fit is a weighted mean, shrunk by the ridge."""
    weights = forecast_weights([0, 3, 4, 9], 12, num_steps=20, degree=0, ridge=0.5, half_life=1.0)
    expected = np.array([1, 2, 4, 8]) / 8 / ((1 + 2 + 4 + 8) / 8 + 0.5)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("half_life", [None, 2.0])
def test_with_a_free_constant_features_may_be_shifted_and_the_newest_snapshot_is_met(half_life):
    times, values = [0, 2, 3, 7, 11], np.random.default_rng(0).standard_normal(5)
    free = {"num_steps": 20, "penalise_constant": False, "half_life": half_life}
    at_newest = forecast_weights(times, 11, **free).numpy()
    np.testing.assert_allclose(at_newest, [0, 0, 0, 0, 1], atol=1e-12)
    ahead = forecast_weights(times, 14, **free).numpy()
    assert ahead @ (values + 100) == pytest.approx(ahead @ values + 100)


@given(video=videos(), blend=st.floats(0, 1))
@settings(deadline=None)
def test_blend_is_the_affine_combination_with_the_straight_line(video, blend):
    times, target, num_steps = video
    blended = forecast_weights(times, target, num_steps=num_steps, blend=blend).numpy()
    fit = primal_weights(times, target, num_steps=num_steps, degree=4, ridge=0.1)
    line = np.zeros(len(times))
    if len(times) == 1:
        line[0] = 1
    else:
        share = (target - times[-2]) / (times[-1] - times[-2])
        line[-2:] = 1 - share, share
    np.testing.assert_allclose(blended, blend * fit + (1 - blend) * line, rtol=0, atol=1e-9)


@given(video=videos(min_snapshots=2), slope=st.floats(-5, 5), start=st.floats(-5, 5))
@settings(deadline=None)
def test_linear_weights_continue_a_line(video, slope, start):
    times, target, _ = video
    weights = line_weights(times, target).numpy()
    assert weights @ (start + slope * np.asarray(times)) == pytest.approx(start + slope * target, abs=1e-9)


def test_linear_weights_of_a_single_snapshot_reuse_it():
    assert line_weights([3], 9).tolist() == [1.0]


@pytest.mark.parametrize(
    ("full_steps", "target", "total"), [(PLAN_14, 45, 0.73), (PLAN_10, 43, 0.65)], ids=["growth .75", "growth 3"]
)
def test_published_ridge_shrinks_a_constant_at_the_end_of_the_longest_gap(full_steps, target, total):
    weights = forecast_weights(history_at(full_steps, target), target, num_steps=50)
    assert weights.sum().item() == pytest.approx(total, abs=0.005)


@pytest.mark.parametrize(("full_steps", "norm"), [(PLAN_14, 4.3), (PLAN_10, 7.1)], ids=["growth .75", "growth 3"])
def test_published_weights_amplify_noise_at_the_last_step(full_steps, norm):
    weights = forecast_weights(full_steps, 49, num_steps=50)
    assert weights.abs().sum().item() == pytest.approx(norm, abs=0.05)


def test_time_axis_is_the_videos_own():
    half = forecast_weights([0, 4, 8], 10, num_steps=20)
    whole = forecast_weights([0, 8, 16], 20, num_steps=40)
    torch.testing.assert_close(half, whole, rtol=0, atol=1e-12)


def test_weights_are_float64_on_the_host_one_a_snapshot():
    for blend in (1.0, 0.5):
        weights = forecast_weights([0, 1, 4], 5, num_steps=50, blend=blend)
        assert (weights.dtype, weights.device.type, weights.shape) == (torch.float64, "cpu", (3,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": []}, "times is empty"),
        ({"times": [0, 2, 2]}, r"times=\[0, 2, 2\].*ascending"),
        ({"times": [3, 1]}, r"times=\[3, 1\].*ascending"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"degree": -1}, "degree=-1"),
        ({"ridge": -0.1}, "ridge=-0.1"),
        ({"ridge": float("nan")}, "ridge=nan"),
        ({"ridge": 0, "degree": 3}, "ridge=0 with degree=3 needs at least 4 snapshots, got 3"),
        ({"blend": -0.5}, "blend=-0.5"),
        ({"blend": 1.5}, "blend=1.5"),
        ({"blend": float("nan")}, "blend=nan"),
        pytest.param(
            {"ridge": float("inf")},
            "ridge=inf",
        ),
    ],
)
def test_a_bad_argument_is_named_with_its_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        forecast_weights(**{"times": [0, 1, 2], "target": 5, "num_steps": 50, **arguments})
