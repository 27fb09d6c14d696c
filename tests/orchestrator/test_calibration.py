"""What is tried, and what is chosen, of what was found in inner products; rendering with it is tested end to end."""

from dataclasses import replace

import pytest
import torch

from orchestrator.budget_search import budget_candidates
from orchestrator.calibration import (
    SHRINKAGES,
    Grams,
    as_configuration,
    best_of,
    candidates,
    check_plans,
    record,
    try_out,
)
from orchestrator.errors import BadInput
from orchestrator.pool import Command, Reply
from orchestrator.reports import Stage, StageReport
from spectrum import CalibratedFor, Features, ForecastSettings, Method, PlanShape

MADE_FOR = CalibratedFor(model="m", solver="s", num_steps=50, flow_shift=3.0, guidance_scale=5.0)


PRIORS = ("reuse", "damped", "spectrum")
SHORT = replace(MADE_FOR, num_steps=20)
"""Where plans are looked for, which takes seconds of 50 steps."""


def make_grams(num_steps: int) -> Grams:
    """Of a quick video and a slow one, whose features grow; the norm hides that."""
    times = torch.linspace(0, 3, num_steps, dtype=torch.float64)
    normed = torch.stack([torch.cos(times * k) for k in range(6)], dim=1)
    raw = normed * (0.2 + times[:, None])
    return Grams(
        raw=torch.stack([raw @ raw.mT, raw[:, :4] @ raw[:, :4].mT]),
        normed=torch.stack([normed @ normed.mT, normed[:, :4] @ normed[:, :4].mT]),
    )


@pytest.fixture(scope="module")
def grams() -> Grams:
    return make_grams(50)


@pytest.fixture(scope="module")
def with_plans() -> dict[str, ForecastSettings]:
    return candidates(make_grams(20), SHORT, 8, Features.HIDDEN, budgets=False)


@pytest.mark.parametrize(("num_full", "growth"), [(14, 0.75), (10, 3.0)])
def test_the_papers_own_plan_is_tried_and_everything_is_for_this_model_alone(grams, num_full, growth):
    found = candidates(grams, MADE_FOR, num_full, Features.HIDDEN, plans=num_full == 14)
    papers = found["the paper's method and plan"]
    assert papers.plan(50) == ForecastSettings(growth=growth).plan(50)
    assert papers.plan_shape is PlanShape.CALIBRATED
    assert sum(one.error_budget is not None for one in found.values()) > 3, "budgets are tried too"
    for one in found.values():
        assert as_configuration(one)["calibration"]["made_for"]["model"] == "m"


def test_budgets_come_from_the_products_that_the_engine_measures_by(grams):
    found = candidates(grams, MADE_FOR, 14, Features.HIDDEN, plans=False)
    base = replace(found["the paper's method and plan"], plan_shape=PlanShape.PAPER)
    assert list(found)[1:] == list(budget_candidates(grams.raw, base, 14))
    assert list(found)[1:] != list(budget_candidates(grams.normed, base, 14)), "else it could not be told"


def test_plans_and_weights_come_from_what_the_head_sees(with_plans):
    own = make_grams(20)
    for same, one in ((True, replace(own, raw=own.normed)), (False, replace(own, normed=own.raw))):
        assert (candidates(one, SHORT, 8, Features.HIDDEN, budgets=False) == with_plans) is same


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_weights_are_shrunk_towards_reuse_a_damped_line_and_the_papers(with_plans, shrinkage):
    """Steps 1 and 2 come after one snapshot and after two, the last after as many as a forecast may use."""
    tried = [with_plans[f"paper plan, fitted towards {prior} by {shrinkage}"] for prior in PRIORS]
    for one in tried:
        assert one.method is Method.CALIBRATED
        assert [len(one.calibration.weights[step - 1]) for step in (1, 2, 19)] == [1, 2, 4]
        assert [sum(weights) for weights in one.calibration.weights] == pytest.approx([1.0] * 19)
    assert len({one.calibration.weights for one in tried}) == len(PRIORS)


def test_much_shrunk_weights_are_the_papers_but_for_what_their_sum_lacks_to_one(monkeypatch):
    monkeypatch.setattr("orchestrator.calibration.SHRINKAGES", (1e9,))
    found = candidates(make_grams(20), SHORT, 8, Features.HIDDEN, budgets=False)
    fitted = found["paper plan, fitted towards spectrum by 1000000000.0"].calibration
    for step in range(1, 20):
        history = [one for one in fitted.full_steps if one < step][-4:]
        papers_K = ForecastSettings().weights(history, step, num_steps=20)
        expected = papers_K + (1 - papers_K.sum()) / len(papers_K)
        assert fitted.weights[step - 1] == pytest.approx(expected.tolist(), abs=1e-6)


class Recorder:
    """A pool whose one gang records given matrices, for one video after the other."""

    gangs = ("gang 0",)

    def __init__(self, *recorded: torch.Tensor) -> None:
        self._recorded = list(recorded)

    def submit(self, gang: str, command: Command) -> None:
        assert command.method == "record_grams"

    def next_event(self, timeout: float) -> Reply:
        result = self._recorded.pop(0).tolist()
        return Reply(gang="gang 0", report=StageReport(stage=Stage.DENOISE, seconds=0.0, result=result))


def test_each_video_counts_alike_in_either_kind_of_products(make_request, grams):
    both_GTT = torch.stack([grams.raw[0], grams.normed[0]])
    recorder = Recorder(both_GTT, both_GTT * torch.tensor([7.0, 3.0], dtype=torch.float64)[:, None, None])
    recorded = record(recorder, [make_request()] * 2, Features.HIDDEN, token_stride=1)
    for own, expected_TT in ((recorded.raw, both_GTT[0]), (recorded.normed, both_GTT[1])):
        for of_video_TT in own:
            torch.testing.assert_close(of_video_TT, expected_TT / expected_TT.diagonal().mean())


def test_of_velocities_both_kinds_are_the_same(make_request, grams):
    recorded = record(Recorder(grams.raw[:1]), [make_request()], Features.VELOCITY, token_stride=1)
    assert torch.equal(recorded.raw, recorded.normed)
    torch.testing.assert_close(recorded.raw[0], grams.raw[0] / grams.raw[0].diagonal().mean())


class Judge:
    """A pool whose one gang finds given errors and numbers of full rounds."""

    gangs = ("gang 0",)

    def __init__(self, *found: tuple[float, int]) -> None:
        self._found = found

    def submit(self, gang: str, command: Command) -> None:
        assert command.method == "compare_forecasts"

    def next_event(self, timeout: float) -> Reply:
        return Reply(gang="gang 0", report=StageReport(stage=Stage.DENOISE, seconds=0.0, result=self._found))


@pytest.mark.parametrize("errors", [[float("nan"), 0.01, 0.5], [0.5, float("nan"), 0.01], [0.01, 0.5, float("inf")]])
def test_the_best_comes_first_and_what_has_fallen_apart_last(make_request, errors):
    tried = {f"{error}": ForecastSettings() for error in errors}
    judge = Judge(*((error, 14) for error in errors))
    names = [trial.name for trial in try_out(judge, [make_request()], tried, 14)]
    assert names[:2] == ["0.01", "0.5"]


def test_what_takes_more_full_rounds_than_asked_for_is_not_chosen(make_request):
    tried = {name: ForecastSettings() for name in ("dear", "fair", "cheap")}
    judge = Judge((0.01, 16), (0.2, 14), (0.3, 12))
    trials = try_out(judge, [make_request()], tried, 14)
    assert [trial.name for trial in trials] == ["fair", "cheap", "dear"]
    assert [trial.full_rounds for trial in trials] == [14, 12, 16]


@pytest.mark.parametrize(("rounds", "chosen"), [([14, 16], "first"), ([15, 14.5], "second"), ([14.5, 3], "first")])
def test_what_is_chosen_takes_no_more_full_rounds_but_for_some_grace(make_request, rounds, chosen):
    tried = {name: ForecastSettings() for name in ("first", "second")}
    judge = Judge(*zip((0.1, 0.2), rounds, strict=True))
    assert best_of(try_out(judge, [make_request()], tried, 14), 14).name == chosen


def test_where_all_take_more_full_rounds_none_is_chosen_and_the_fewest_are_named(make_request):
    tried = {name: ForecastSettings() for name in ("good", "frugal")}
    trials = try_out(Judge((0.1, 9), (0.2, 7)), [make_request()], tried, 4)
    message = "num_full=4 is less than any candidate takes: the fewest full rounds are 7, of frugal. Raise num_full"
    with pytest.raises(BadInput, match=message):
        best_of(trials, 4)


@pytest.mark.parametrize("num_full", [3, 4, 5, 6])
def test_where_only_plans_of_more_full_rounds_are_left_nothing_is_rendered(grams, num_full):
    found = candidates(grams, MADE_FOR, num_full, Features.VELOCITY, plans=False, budgets=False)
    with pytest.raises(BadInput, match=f"num_full={num_full} is less than any .* are 7, of the paper's method and"):
        check_plans(found, 50, num_full)
    check_plans(found, 50, 7)
    check_plans(found | {"a budget": ForecastSettings(error_budget=0.1)}, 50, num_full)  # rendered, it is known
