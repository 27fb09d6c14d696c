"""The budgets that the demo renders with are those that were measured."""

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore

from benchmarks.quality_thresholds import ERROR_BUDGETS, budget_settings
from orchestrator.command import compose_config
from orchestrator.config import LaunchConfig
from orchestrator.forecast_choice import forecast_settings


@pytest.mark.parametrize(("typed", "target"), [([], 14), (["forecast=tiny_wan_adaptive_fast"], 10)])
def test_the_demo_renders_with_the_benchmarks_budgets(typed, target):
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    with initialize_config_module("conf", version_base=None):
        config = compose_config(compose("launch", ["+job=demo", *typed]), LaunchConfig)
    settings = forecast_settings(config.forecast, flow_shift=config.denoise.flow_shift)
    measured = budget_settings(ERROR_BUDGETS["plain"][target])
    names = ("method", "features", "damping", "error_budget", "max_gap", "max_history")
    assert [getattr(settings, name) for name in names] == [getattr(measured, name) for name in names]
    assert settings.plan(50).num_full == target
