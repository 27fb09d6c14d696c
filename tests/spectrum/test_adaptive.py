"""The plan that an error budget makes as a video goes."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectrum import ForecastSettings, Gram, Plan, Round
from spectrum.adaptive import extended, first_plan, first_untrusted, next_full_step, open_loop_plan

errors = st.one_of(st.none(), st.floats(0, 10), st.sampled_from([float("inf"), float("nan")]))


def next_step(step: int, **changes) -> int:
    return next_full_step(step, **{"gap": 3, "error": 0.02, "num_steps": 50, "budget": 0.03, "max_gap": 8, **changes})


@given(
    num_steps=st.integers(2, 80),
    budget=st.floats(1e-4, 1),
    max_gap=st.integers(1, 12),
    drawn=st.lists(errors, min_size=80, max_size=80),
)
def test_whatever_the_errors_the_plan_is_whole_and_no_gap_too_wide(num_steps, budget, max_gap, drawn):
    plan, step, gap = first_plan(num_steps), 0, 0
    while step < num_steps:
        following = next_full_step(
            step, gap=gap, error=drawn[step], num_steps=num_steps, budget=budget, max_gap=max_gap
        )
        assert step < following <= num_steps
        plan = extended(plan, step, following)
        assert plan.segment_end(step) == following
        step, gap = following, following - step
    steps = plan.full_steps
    assert steps[0] == 0 and steps[-1] == num_steps - 1
    assert max((b - a for a, b in itertools.pairwise(steps)), default=1) <= max_gap


@given(error=st.floats(1e-3, 1), smaller=st.floats(0.01, 1))
def test_a_larger_error_never_widens_the_gap(error, smaller):
    assert next_step(10, error=error) <= next_step(10, error=error * smaller)


def test_error_at_the_budget_keeps_the_gap():
    assert next_step(10, error=0.03) == 13
    assert next_step(10, error=0.03 * 1.01) == 12
    assert next_step(10, error=0.03 / 2**1.5) == 16


def test_gap_at_most_doubles_and_one():
    assert next_step(10, gap=1, error=1e-9) == 13
    assert next_step(10, gap=3, error=0.0, max_gap=20) == 17


def test_a_huge_error_makes_the_next_round_full():
    assert next_step(10, error=5.0) == 11
    assert next_step(10, error=float("inf")) == next_step(10, error=float("nan")) == 11


def test_the_last_step_is_full_and_ends_the_plan():
    assert next_step(47, error=1e-9) == 49
    assert next_step(49) == 50


def test_a_plan_begins_with_what_is_certain():
    assert first_plan(5) == Plan((Round.FULL, Round.FORECAST, Round.FORECAST, Round.FORECAST, Round.FULL))
    assert first_plan(1).full_steps == (0,)


def test_weights_that_amplify_noise_are_not_trusted_and_good_ones_are():
    noise = torch.randn(5, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram = Gram(5, noise @ noise.mT)
    steps = (0, 1, 2, 3, 4)
    wild = ForecastSettings(method="taylor", order=3, error_budget=0.05)
    assert first_untrusted(wild, gram, steps, 10, 50) == 5
    calm = ForecastSettings(method="reuse", error_budget=0.2)
    assert first_untrusted(calm, gram, steps, 6, 50) == 6
    assert first_untrusted(calm, Gram(5, noise @ noise.mT * float("nan")), steps, 10, 50) == 5


def test_a_cautious_forecast_of_features_that_grow_without_bound_is_not_trusted_either():
    steps, direction = (0, 1), torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cautious = ForecastSettings(method="damped", error_budget=0.05)

    def first(newest: float) -> int:
        features = torch.stack([direction, newest * direction])
        return first_untrusted(cautious, Gram(2, features @ features.mT), steps, 10, 50)

    assert first(1.05) == 10, "a slow drift"
    assert first(10.0) == 4, "half of the slope is 0.45 of the newest at each step"


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(ValueError, match="error_budget="):
        ForecastSettings(error_budget=budget)


def gram_of(features_TE: torch.Tensor) -> torch.Tensor:
    return features_TE @ features_TE.mT


def smooth_features(num_steps: int, *, speed: float) -> torch.Tensor:
    times = torch.linspace(0, speed, num_steps, dtype=torch.float64)
    return torch.stack([torch.cos(times), torch.sin(times)], dim=1)


def test_open_loop_plan_asks_for_more_full_rounds_with_a_smaller_budget_or_faster_features():
    def num_full(budget: float, speed: float) -> int:
        settings = ForecastSettings(method="damped", error_budget=budget)
        return open_loop_plan(settings, gram_of(smooth_features(50, speed=speed))).num_full

    assert num_full(0.01, 3.0) > num_full(0.1, 3.0) > num_full(0.5, 3.0)
    assert num_full(0.1, 12.0) > num_full(0.1, 3.0)
    assert num_full(1e-9, 3.0) == 50


def test_open_loop_plan_holds_the_budget():
    """On a circle, reuse errs by the chord of its gap: no gap is wider than the one whose chord is the budget."""
    settings = ForecastSettings(method="reuse", error_budget=0.2, max_gap=50)
    plan = open_loop_plan(settings, gram_of(smooth_features(200, speed=20.0)))
    chord = 2 * torch.sin(torch.tensor(20.0 / 199 / 2))  # what reuse errs by over one step
    gaps = [after - before for before, after in itertools.pairwise(plan.full_steps)][3:-1]
    assert all(1 <= gap <= 0.2 / chord + 1 for gap in gaps)
    assert plan.full_steps[0] == 0 and plan.full_steps[-1] == 199
