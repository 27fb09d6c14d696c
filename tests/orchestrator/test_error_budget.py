"""All ranks take the same decisions, whatever the layout and the budget; and the decisions hold the budget."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import budget_tasks
import pytest
import torch
from budget_tasks import SMALL, make_embeds, make_engine, settings_of

from parallel.layout import Layout
from spectrum import ForecastSettings, Plan

LAYOUTS = ["ulysses 4", "ring 2 × ulysses 2", "cfg 2 × ulysses 2"]


@pytest.fixture(scope="module")
def rendered(gang):
    return gang(Path(budget_tasks.__file__), "render_budgets", [1, 4], timeout=300)


def first_error(video) -> float:
    return next(error for error in video["errors"] if error is not None)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ranks_never_diverge(rendered, layout):
    first, *others = (rank[layout] for rank in rendered[4])
    for index, video in enumerate(first):
        for other in others:
            assert other[index]["full_steps"] == video["full_steps"]
            assert other[index]["errors"] == video["errors"], "to the last bit, or decisions may differ one day"
            assert torch.equal(other[index]["latents"], video["latents"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_errors_are_one_processs_but_for_the_order_of_sums(rendered, layout):
    """Up to the first decision that another rounding may turn."""
    for alone, video in zip(rendered[1][0]["one rank"], rendered[4][0][layout], strict=True):
        assert first_error(video) == pytest.approx(first_error(alone), rel=1e-3)


def test_plans_are_whole_and_recorded_as_run(rendered):
    for video in rendered[1][0]["one rank"]:
        assert video["rounds"] == list(Plan.from_full_steps(8, video["full_steps"]))
        assert video["full_steps"][0] == 0 and video["full_steps"][-1] == 7
        # Of step 6 nothing is kept: after it there is the last step alone, which is full whatever was decided.
        kept = {after for before, after in pairwise(video["full_steps"]) if before < 6}
        assert [error is not None for error in video["errors"]] == [step in kept for step in range(8)]


def test_budgets_make_different_plans(rendered):
    """Else the tests above could not fail."""
    counts = {len(video["full_steps"]) for video in rendered[1][0]["one rank"]}
    assert min(counts) <= 4 and max(counts) == 8


def test_a_gap_follows_an_error_within_the_budget_or_is_one(rendered):
    for index, video in enumerate(rendered[1][0]["one rank"]):
        budget = settings_of(index).error_budget
        for before, after in pairwise(video["full_steps"]):
            error = video["errors"][before]
            if error is not None and error > budget:
                assert after - before <= max(1, before - max(one for one in video["full_steps"] if one < before))


def test_a_forecast_that_is_not_trusted_is_replaced_and_recorded(monkeypatch):
    """With no forecast trusted that differs from the cautious one at all."""
    engine, embeds = make_engine(Layout(), 0), make_embeds()
    request = replace(SMALL, forecast=ForecastSettings(method="taylor", order=1, error_budget=0.9))

    def render():
        state = engine.start(request, embeds)
        while not state.is_denoised:
            engine.run_segment(state)
        return state

    trusting = render()
    monkeypatch.setattr("spectrum.adaptive._OUT_OF_PROPORTION", 0.0)
    distrusting = render()
    assert not any(one.is_fallback for one in trusting.rounds)
    fallbacks = [one.step for one in distrusting.rounds if one.is_fallback]
    assert fallbacks and set(fallbacks) <= set(distrusting.plan.full_steps)
    assert distrusting.plan.num_full > trusting.plan.num_full
