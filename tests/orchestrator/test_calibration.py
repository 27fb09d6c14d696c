"""What is tried, and what is chosen, of what was found in inner products; rendering with it is tested end to end."""

import pytest
import torch

from orchestrator.calibration import as_configuration, candidates, try_out
from orchestrator.pool import Command, Reply
from orchestrator.reports import Stage, StageReport
from spectrum import CalibratedFor, Features, ForecastSettings, PlanShape

MADE_FOR = CalibratedFor(model="m", solver="s", num_steps=50, flow_shift=3.0, guidance_scale=5.0)


@pytest.fixture(scope="module")
def grams_VTT() -> torch.Tensor:  # noqa: N802 - named for its shape
    times = torch.linspace(0, 3, 50, dtype=torch.float64)
    features = torch.stack([torch.cos(times * k) for k in range(6)], dim=1)
    return torch.stack([features @ features.mT, features[:, :4] @ features[:, :4].mT])


@pytest.mark.parametrize(("num_full", "growth"), [(14, 0.75), (10, 3.0)])
def test_the_papers_own_plan_is_tried_and_everything_is_for_this_model_alone(grams_VTT, num_full, growth):
    found = candidates(grams_VTT, MADE_FOR, num_full, Features.HIDDEN, plans=num_full == 14)
    papers = found["the paper's method and plan"]
    assert papers.plan(50) == ForecastSettings(growth=growth).plan(50)
    assert papers.plan_shape is PlanShape.CALIBRATED
    assert sum(one.error_budget is not None for one in found.values()) > 3, "budgets are tried too"
    for one in found.values():
        assert as_configuration(one)["calibration"]["made_for"]["model"] == "m"


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
