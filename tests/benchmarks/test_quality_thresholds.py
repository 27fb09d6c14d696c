"""The budgets that a configuration names are those that were measured."""

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore

from benchmarks.quality_thresholds import ERROR_BUDGETS, budget_settings
from orchestrator.command import compose_config
from orchestrator.config import LaunchConfig
from orchestrator.forecast_choice import FINGERPRINT_LENGTH, forecast_settings
from orchestrator.launch_plan import plan_launch


@pytest.mark.parametrize(
    ("typed", "regime", "target"),
    [
        ([], "plain", 14),
        (["forecast=tiny_wan_adaptive_fast"], "plain", 10),
        (["forecast=tiny_wan_hard_adaptive"], "hard", 14),
        (["forecast=tiny_wan_hard_adaptive_fast"], "hard", 10),
    ],
)
def test_budgets_of_the_configuration_are_those_that_were_measured(typed, regime, target):
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    with initialize_config_module("conf", version_base=None):
        config = compose_config(compose("launch", ["+job=demo", *typed]), LaunchConfig)
    settings = forecast_settings(config.forecast, flow_shift=config.denoise.flow_shift)
    measured = budget_settings(ERROR_BUDGETS[regime][target])
    names = ("method", "features", "damping", "error_budget", "max_gap", "max_history")
    assert [getattr(settings, name) for name in names] == [getattr(measured, name) for name in names]
    assert settings.plan(50).num_full == target
    assert config.forecast.for_model == plan_launch(config).model.fingerprint[:FINGERPRINT_LENGTH]
