"""What is tried, and what is chosen, of what was found in inner products; rendering with it is tested end to end."""

import pytest
import torch

from orchestrator.calibration import as_configuration, candidates, try_out
from orchestrator.pool import Command, Reply
from orchestrator.reports import Stage, StageReport
from spectrum import CalibratedFor, Features, ForecastSettings, PlanShape

MADE_FOR = CalibratedFor(model="m", solver="s", num_steps=50, flow_shift=3.0, guidance_scale=5.0)


@pytest.fixture(scope="module")
def gram_TT() -> torch.Tensor:  # noqa: N802 - named for its shape
    times = torch.linspace(0, 3, 50, dtype=torch.float64)
    features = torch.stack([torch.cos(times * k) for k in range(6)], dim=1)
    return features @ features.mT


@pytest.mark.parametrize(("num_full", "growth"), [(14, 0.75), (10, 3.0)])
def test_the_papers_own_plan_is_tried_and_is_for_this_model_alone(gram_TT, num_full, growth):
    papers = candidates(gram_TT, MADE_FOR, num_full, Features.HIDDEN)["the paper's method and plan"]
    assert papers.plan(50) == ForecastSettings(growth=growth).plan(50)
    assert papers.plan_shape is PlanShape.CALIBRATED
    assert as_configuration(papers)["calibration"]["made_for"]["model"] == "m"


class Judge:
    """A pool whose one gang finds given errors."""

    gangs = ("gang 0",)

    def __init__(self, errors: list[float]) -> None:
        self._errors = errors

    def submit(self, gang: str, command: Command) -> None:
        assert command.method == "compare_forecasts"

    def next_event(self, timeout: float) -> Reply:
        return Reply(gang="gang 0", report=StageReport(stage=Stage.DENOISE, seconds=0.0, result=self._errors))


@pytest.mark.parametrize("errors", [[float("nan"), 0.01, 0.5], [0.5, float("nan"), 0.01], [0.01, 0.5, float("inf")]])
def test_the_best_comes_first_and_what_has_fallen_apart_last(make_request, errors):
    tried = {f"{error}": ForecastSettings() for error in errors}
    names = [trial.name for trial in try_out(Judge(errors), [make_request()], tried)]
    assert names[:2] == ["0.01", "0.5"]
