"""Weights and plans from inner products, against brute force."""

from itertools import combinations, pairwise

import pytest
import torch

from spectrum import damped_weights, open_loop_errors, reuse_weights
from spectrum.gram_calibration import best_plan, fitted_weights

T = 9
FULL_STEPS = (0, 1, 4, 6)


@pytest.fixture(scope="module")
def features():
    """Smooth in time, and some noise."""
    generator = torch.Generator().manual_seed(0)
    times = torch.linspace(0, 3, T, dtype=torch.float64)[:, None]
    waves = torch.sin(times * torch.rand(1, 60, dtype=torch.float64, generator=generator) * 2)
    return waves + 0.05 * torch.randn(T, 60, dtype=torch.float64, generator=generator)


def total_error(features, full_steps, forecaster, step_weights, history=2) -> float:
    """Of the features themselves."""
    total = 0.0
    for step in set(range(T)) - set(full_steps):
        earlier = [one for one in full_steps if one < step][-history:]
        forecast = forecaster(earlier, step) @ features[earlier]
        total += step_weights[step] * float((features[step] - forecast).square().sum())
    return total


@pytest.mark.parametrize("forecaster", [reuse_weights, damped_weights])
@pytest.mark.parametrize(("num_full", "tail"), [(2, 8), (4, 8), (4, 0), (4, 2), (5, 1)])
def test_best_plan_is_that_of_trying_all(features, forecaster, num_full, tail):
    step_weights = [1 + 0.1 * step for step in range(T)]
    allowed = [(0, *chosen) for chosen in combinations(range(1, T), num_full - 1) if T - 1 - max(chosen) <= tail]
    expected = min(allowed, key=lambda steps: total_error(features, steps, forecaster, step_weights))
    found = best_plan(features @ features.mT, num_full, forecaster=forecaster, step_weights=step_weights, tail=tail)
    assert found.full_steps == expected


def test_no_gap_is_wider_than_allowed(features):
    plan = best_plan(features @ features.mT, 4, forecaster=reuse_weights, step_weights=[1.0] * T, tail=8, max_gap=3)
    ends = (*plan.full_steps, T)
    assert max(later - earlier for earlier, later in pairwise(ends)) <= 3


def test_plan_that_cannot_be_is_refused(features):
    with pytest.raises(ValueError, match="no plan of 3 full rounds in 9 steps has gaps of at most 2"):
        best_plan(features @ features.mT, 3, forecaster=reuse_weights, step_weights=[1.0] * T, tail=0, max_gap=2)


def test_weights_err_less_the_less_they_are_shrunk(features):
    gram = features @ features.mT
    errors = []
    for shrinkage in (1e-9, 1e-3, 1e-1, 10, 1e6):
        weights = fitted_weights(gram, FULL_STEPS, prior=reuse_weights, shrinkage=shrinkage, max_history=3)
        forecasts = [torch.tensor(weights[step - 1], dtype=torch.float64) for step in (2, 3, 5, 7, 8)]
        errors.append(float(open_loop_errors(gram, FULL_STEPS, forecasts).sum()))
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0]


def test_without_shrinkage_they_are_least_squares_under_their_constraint(features):
    """Written as an unconstrained problem in differences to the newest snapshot, solved by another routine."""
    weights = fitted_weights(features @ features.mT, FULL_STEPS, prior=reuse_weights, shrinkage=1e-12, max_history=3)
    history = features[[1, 4, 6]]
    solved = torch.linalg.lstsq((history[:-1] - history[-1]).mT, (features[8] - history[-1])[:, None]).solution[:, 0]
    expected = [*solved.tolist(), 1 - float(solved.sum())]
    assert weights[7] == pytest.approx(expected, abs=1e-6)


def test_infinite_shrinkage_gives_the_prior(features):
    weights = fitted_weights(features @ features.mT, FULL_STEPS, prior=damped_weights, shrinkage=1e9, max_history=2)
    for step in range(1, T):
        history = [one for one in FULL_STEPS if one < step][-2:]
        assert weights[step - 1] == pytest.approx(damped_weights(history, step).tolist(), abs=1e-6)


def test_weights_sum_to_one_and_use_what_they_may(features):
    weights = fitted_weights(features @ features.mT, FULL_STEPS, prior=reuse_weights, shrinkage=0.1, max_history=2)
    assert [len(one) for one in weights] == [1, 2, 2, 2, 2, 2, 2, 2]
    assert [sum(one) for one in weights] == pytest.approx([1.0] * (T - 1))


@pytest.mark.parametrize("shrinkage", [0.0, float("inf"), float("nan")])
def test_shrinkage_must_be_finite_and_positive(features, shrinkage):
    with pytest.raises(ValueError, match=f"shrinkage={shrinkage} must be a finite number above 0"):
        fitted_weights(features @ features.mT, FULL_STEPS, prior=reuse_weights, shrinkage=shrinkage, max_history=2)
