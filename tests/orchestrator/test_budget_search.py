"""Budgets found in inner products; that videos can be rendered with them is tested end to end."""

from statistics import fmean

import pytest
import torch

from orchestrator.budget_search import budget_candidates
from orchestrator.calibration import as_configuration
from spectrum import Features, ForecastSettings
from spectrum.adaptive import open_loop_plan


@pytest.fixture(scope="module")
def grams_VTT() -> torch.Tensor:  # noqa: N802 - named for its shape
    """Of a quick video and a slow one."""
    times = torch.linspace(0, 3, 50, dtype=torch.float64)
    features = torch.stack([torch.cos(times * k) for k in range(6)], dim=1)
    return torch.stack([features @ features.mT, features[:, :4] @ features[:, :4].mT])


@pytest.mark.parametrize(("num_full", "gaps"), [(14, {5, 6, 9}), (10, {7, 8, 12})])
def test_each_budget_comes_to_the_wanted_full_rounds_in_the_mean(grams_VTT, num_full, gaps):
    found = budget_candidates(grams_VTT, ForecastSettings(features=Features.VELOCITY, growth=3.0), num_full)
    assert len(found) == 9
    assert {one.max_gap for one in found.values()} == gaps
    rounds = [[open_loop_plan(one, gram_TT).num_full for gram_TT in grams_VTT] for one in found.values()]
    assert all(abs(fmean(of_both) - num_full) <= 0.75 for of_both in rounds)
    assert all(quick >= slow for quick, slow in rounds) and any(quick > slow for quick, slow in rounds)


def test_a_budget_survives_its_file(grams_VTT):
    [first, *_] = budget_candidates(grams_VTT, ForecastSettings(features=Features.VELOCITY), 14).values()
    assert (first.features, first.max_history) == (Features.VELOCITY, 2)
    assert ForecastSettings(**as_configuration(first)) == first


def test_where_no_budget_comes_to_the_wanted_number_there_is_no_candidate(grams_VTT):
    """Gaps grow from one step on: two full rounds, the first and the last, are too few for any budget."""
    assert budget_candidates(grams_VTT, ForecastSettings(), 2) == {}


def test_what_is_the_same_in_all_is_kept(grams_VTT):
    base = ForecastSettings(features=Features.HIDDEN, growth=3.0)
    for one in budget_candidates(grams_VTT, base, 14).values():
        assert (one.features, one.growth) == (Features.HIDDEN, 3.0)
