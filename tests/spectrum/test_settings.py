"""Settings: which forecaster, which plan, and that a bad value is refused at once."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from spectrum import ForecastSettings, Method, forecast_weights, plan_rounds, reuse_weights, taylor_weights
from spectrum.adaptive import first_plan

TIMES, TARGET, NUM_STEPS = [0, 1, 2, 3, 4, 6, 8], 9, 50


def weights(**fields) -> torch.Tensor:
    return ForecastSettings(**fields).weights(TIMES, TARGET, num_steps=NUM_STEPS)


def test_defaults_are_the_papers():
    settings = ForecastSettings()
    assert settings.plan(50).full_steps == (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 25, 31, 38, 46)
    paper = forecast_weights(TIMES, TARGET, num_steps=NUM_STEPS, degree=4, ridge=0.1, blend=1.0)
    assert torch.equal(settings.weights(TIMES, TARGET, num_steps=NUM_STEPS), paper)


def test_each_method_uses_its_own_forecaster_and_settings():
    spectrum = forecast_weights(TIMES, TARGET, num_steps=NUM_STEPS, degree=2, ridge=0.3, blend=0.5)
    assert torch.equal(weights(degree=2, ridge=0.3, blend=0.5), spectrum)
    assert torch.equal(weights(method=Method.TAYLOR, order=2), taylor_weights(TIMES, TARGET, order=2))
    assert torch.equal(weights(method=Method.REUSE), reuse_weights(TIMES, TARGET))


@pytest.mark.parametrize("method", [Method.SPECTRUM, Method.TAYLOR, Method.REUSE])
def test_every_forecasting_method_follows_the_configured_plan(method):
    settings = ForecastSettings(method=method, warmup_steps=3, window=3.0, growth=1.5)
    assert settings.plan(37) == plan_rounds(37, warmup_steps=3, window=3.0, growth=1.5)


def test_method_none_makes_every_round_full():
    plan = ForecastSettings(method=Method.NONE, growth=3.0).plan(50)
    assert plan.full_steps == tuple(range(50))


@pytest.mark.parametrize("num_snapshots", [1, 3, 4, 7])
def test_without_ridge_a_short_history_lowers_the_degree(num_snapshots):
    times = TIMES[:num_snapshots]
    actual = ForecastSettings(ridge=0.0).weights(times, TARGET, num_steps=NUM_STEPS)
    degree = min(4, num_snapshots - 1)
    assert torch.equal(actual, forecast_weights(times, TARGET, num_steps=NUM_STEPS, degree=degree, ridge=0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup_steps": 0}, "warmup_steps=0"),
        ({"window": 0.5}, "window=0.5"),
        ({"growth": -1.0}, "growth=-1.0"),
        ({"degree": -1}, "degree=-1"),
        ({"degree": -1, "ridge": 0.0}, "degree=-1"),
        ({"ridge": -0.1}, "ridge=-0.1"),
        ({"ridge": float("nan")}, "ridge=nan"),
        ({"blend": 1.5}, "blend=1.5"),
        ({"method": Method.TAYLOR, "order": -1}, "order=-1"),
        ({"method": Method.REUSE, "window": 0.0}, "window=0.0"),
        pytest.param(
            {"method": "chebychev"},
            "method=.*chebychev",
        ),
    ],
)
def test_a_bad_setting_is_named_with_its_value_when_the_settings_are_made(fields, message):
    with pytest.raises(ValueError, match=message):
        ForecastSettings(**fields)


def test_a_method_given_by_its_name_means_the_same():
    assert ForecastSettings(method="none").plan(50) == ForecastSettings(method=Method.NONE).plan(50)


def test_a_list_of_full_rounds_and_an_error_budget_refuse_each_other():
    with pytest.raises(ValueError, match=r"plan_shape=list .* error_budget=0.4 .* set error_budget to null"):
        ForecastSettings(plan_shape="list", full_steps=(0, 3), error_budget=0.4)


def test_a_history_holds_what_forecasts_need_and_with_an_error_budget_eight_if_nothing_is_said():
    paper, adaptive = ForecastSettings(), ForecastSettings(error_budget=0.1)
    assert paper.capacity(paper.plan(50)) == 14
    assert [adaptive.capacity(first_plan(num_steps)) for num_steps in (3, 8, 50)] == [3, 8, 8]
    assert replace(adaptive, max_history=12).capacity(first_plan(50)) == 12


@pytest.mark.parametrize(
    ("method", "order", "number"),
    [("reuse", 1, 1), ("damped", 1, 2), ("taylor", 3, 4), ("adams", 2, 3), ("foca", 1, 3), ("svd", 1, 2)],
)
def test_a_history_holds_no_more_than_the_method_looks_at(method, order, number):
    settings = ForecastSettings(method=method, order=order)
    assert settings.capacity(settings.plan(50)) == number
    steps = [0, 1, 2, 3, 5, 8, 12]
    weights = settings.weights(steps, 15, num_steps=50)
    assert torch.count_nonzero(weights) == number == torch.count_nonzero(weights[-number:])
    torch.testing.assert_close(weights[-number:], settings.weights(steps[-number:], 15, num_steps=50))
    if method != "svd":
        bounded = replace(settings, error_budget=0.1)
        assert bounded.capacity(first_plan(50)) == max(number, 2), "with which the cautious one is made"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"half_life": 0.0, "plan_shape": "list", "full_steps": (0, 3)}, "half_life=0.0 must be a finite number"),
        ({"method": "damped", "half_life": -1.0}, "half_life=-1.0 must be"),
        ({"method": "adams", "order": 0, "plan_shape": "list", "full_steps": (0, 3)}, "order=0 must be at least 1"),
        ({"plan_shape": "nodes", "growth": -5.0}, "growth=-5.0 must be"),
        ({"plan_shape": "nodes", "warmup_steps": 0}, "warmup_steps=0 must be"),
        ({"error_budget": 0.1, "plan_shape": "nodes"}, "plan_shape=nodes has its own full rounds, error_budget=0.1"),
        ({"error_budget": 0.1, "method": "svd"}, "error_budget=0.1 needs a linear method"),
    ],
)
def test_what_would_fail_while_rendering_or_be_without_effect_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        ForecastSettings(**changed)


def test_all_rounds_full_need_no_budget():
    full = ForecastSettings(method="none", error_budget=0.1, growth=3.0)
    assert not full.is_adaptive and full.plan(7).num_full == 7


@pytest.mark.parametrize("shape", [{}, {"plan_shape": "list", "full_steps": (0, 5)}])
def test_a_number_of_full_rounds_is_refused_where_the_plan_has_its_own(shape):
    with pytest.raises(ValueError, match=r"num_full=10 is for the plans uniform and nodes; plan_shape=(paper|list)"):
        ForecastSettings(num_full=10, **shape)
    assert ForecastSettings(num_full=10, plan_shape="nodes").plan(50).num_full == 10


@pytest.mark.parametrize("field", ["blend", "damping", "node_density", "degree", "order", "ridge"])
def test_a_bad_setting_of_another_method_is_refused_too(field):
    with pytest.raises(ValueError, match=f"{field}=-1"):
        ForecastSettings(method=Method.REUSE, **{field: -1})


def test_a_bad_setting_is_refused_when_settings_are_replaced():
    with pytest.raises(ValueError, match="blend=-1"):
        replace(ForecastSettings(), blend=-1)


def test_settings_cannot_change_under_a_video():
    with pytest.raises(FrozenInstanceError):
        ForecastSettings().ridge = 1.0
