"""Derive when to run and how to forecast from a model's own features, and choose by rendering.

Three steps: inner products of the features of a few videos with all rounds full; plans, weights and error budgets
from these alone; and renders of other videos with each candidate, since what errs least in the open loop is not best
in the closed one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from math import inf, isfinite, log10
from statistics import fmean
from typing import Any

import torch

from orchestrator.budget_search import budget_candidates
from orchestrator.errors import BadInput, GangFailed
from orchestrator.pool import Command, GangLost, GangReady, Pool, Reply
from orchestrator.request import Request
from spectrum import (
    CalibratedFor,
    Calibration,
    Features,
    ForecastSettings,
    Method,
    Plan,
    PlanShape,
    damped_weights,
    node_plan,
    reuse_weights,
)
from spectrum.gram_calibration import StepForecaster, best_plan, fitted_weights

TICK_SECONDS = 1.0
SHRINKAGES = (0.03, 0.3)
DAMPINGS = (0.25, 0.5, 0.75)
MAX_HISTORY = 4
LENIENCE = 0.5
"""Full rounds that a budget may take above those asked for, in the mean over a few videos."""
TAILS = (0, 2, 4)
"""At most so many forecasts after the last full round of a plan that is searched for."""
_GROWTHS = (0.75, 3.0, *(step / 100 for step in range(0, 2001, 5)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Grams:
    """The inner products of the features of all T steps of V videos: (V, T, T), float64.

    Each video counts alike: its matrices are divided by their mean diagonals.
    """

    raw: torch.Tensor
    """Of the features as they are, which the engine measures an error budget by."""
    normed: torch.Tensor
    """Of hidden states as the output head takes them, normalised over each token's channels; of velocities `raw`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A candidate, and how far its latents were from those of all rounds full."""

    name: str
    forecast: ForecastSettings
    errors: tuple[float, ...]
    """For each video, the relative error of its latents."""
    full_rounds: float
    """Of a video, the mean."""

    @property
    def decibels(self) -> float:
        """Mean ratio of latents to their error."""
        return fmean(-20 * log10(max(error, 1e-9)) for error in self.errors)

    @property
    def mark(self) -> float:
        """What is chosen by: the mean, and as much the worst, since one video that falls apart is one too many."""
        return (self.decibels + self.worst) / 2

    @property
    def worst(self) -> float:
        """Of the video that fared worst."""
        return -20 * log10(max(*self.errors, 1e-9))


def wait_until_ready(pool: Pool) -> None:
    """Until every gang holds the model.

    Raises:
        GangFailed: one of them cannot be built.
    """
    building = set(pool.gangs)
    while building:
        match pool.next_event(TICK_SECONDS):
            case GangReady(gang=gang):
                building.discard(gang)
            case GangLost(gang=gang, cause=cause, details=details):
                raise GangFailed(f"{gang} failed: {cause}\n{details}")


def record(pool: Pool, requests: Sequence[Request], features: Features, *, token_stride: int) -> Grams:
    """What is needed of the features of all steps, from videos with all rounds full."""
    commands = [Command("record_grams", (one, features, token_stride)) for one in requests]
    grams_VGTT = torch.tensor(_spread(pool, commands), dtype=torch.float64)
    grams_VGTT /= grams_VGTT.diagonal(dim1=2, dim2=3).mean(dim=2)[..., None, None]
    return Grams(raw=grams_VGTT[:, 0], normed=grams_VGTT[:, -1])  # of velocities there is one


def candidates(
    grams: Grams,
    made_for: CalibratedFor,
    num_full: int,
    features: Features,
    *,
    plans: bool = True,
    budgets: bool = True,
) -> dict[str, ForecastSettings]:
    """Settings to try, by a name for people: the paper's, plans of `num_full` rounds, budgets that come to them."""
    papers = _papers_for(made_for, num_full)
    found = {"the paper's method and plan": papers}
    if plans:
        found |= _with_plans(grams.normed.mean(dim=0), made_for, num_full, features)
    if budgets:
        base = replace(_papers(made_for.num_steps, num_full), features=features, calibration=papers.calibration)
        found |= budget_candidates(grams.raw, base, num_full)
    return found


def _with_plans(
    gram_TT: torch.Tensor, made_for: CalibratedFor, num_full: int, features: Features
) -> dict[str, ForecastSettings]:
    plans = _plans(gram_TT, made_for, num_full)
    priors: dict[str, StepForecaster] = {
        "reuse": reuse_weights,
        "damped": damped_weights,
        "spectrum": partial(ForecastSettings().weights, num_steps=made_for.num_steps),
    }
    found = {}
    for plan_name, plan in plans.items():
        bare = Calibration(made_for=made_for, full_steps=plan.full_steps)
        base = ForecastSettings(
            method=Method.REUSE,
            features=features,
            plan_shape=PlanShape.CALIBRATED,
            calibration=bare,
            max_history=MAX_HISTORY,
        )
        found[f"{plan_name} plan, reuse"] = base
        for damping in DAMPINGS:
            found[f"{plan_name} plan, damped {damping}"] = replace(base, method=Method.DAMPED, damping=damping)
        for prior_name, prior in priors.items():
            for shrinkage in SHRINKAGES:
                weights = fitted_weights(
                    gram_TT, plan.full_steps, prior=prior, shrinkage=shrinkage, max_history=MAX_HISTORY
                )
                found[f"{plan_name} plan, fitted towards {prior_name} by {shrinkage}"] = replace(
                    base, method=Method.CALIBRATED, calibration=replace(bare, weights=weights)
                )
    return found


def try_out(
    pool: Pool, requests: Sequence[Request], tried: dict[str, ForecastSettings], num_full: int
) -> list[Trial]:
    """Render every candidate of every video; the best first, and last those that took more than `num_full` rounds."""
    settings = tuple(tried.values())
    by_video = _spread(pool, [Command("compare_forecasts", (one, settings)) for one in requests])
    trials = [
        Trial(
            name=name,
            forecast=forecast,
            errors=tuple(of_video[index][0] for of_video in by_video),
            full_rounds=fmean(of_video[index][1] for of_video in by_video),
        )
        for index, (name, forecast) in enumerate(tried.items())
    ]

    def rank(trial: Trial) -> tuple[bool, float]:
        return trial.full_rounds <= num_full + LENIENCE, trial.mark if isfinite(trial.mark) else -inf

    return sorted(trials, key=rank, reverse=True)


def check_plans(tried: dict[str, ForecastSettings], num_steps: int, num_full: int) -> None:
    """Before anything is rendered with them: whether one of the candidates may be chosen.

    Raises:
        BadInput: none has an error budget, and the plans of all take more than `num_full` full rounds.
    """
    if not any(one.is_adaptive for one in tried.values()):
        _check_full_rounds({name: one.plan(num_steps).num_full for name, one in tried.items()}, num_full)


def best_of(trials: Sequence[Trial], num_full: int) -> Trial:
    """The first of trials in the order of `try_out`.

    Raises:
        BadInput: all took more than `num_full` full rounds.
    """
    _check_full_rounds({trial.name: trial.full_rounds for trial in trials}, num_full)
    return trials[0]


def _check_full_rounds(taken: Mapping[str, float], num_full: int) -> None:
    """`LENIENCE` is granted."""
    name = min(taken, key=lambda one: taken[one])
    if taken[name] > num_full + LENIENCE:
        raise BadInput(
            f"num_full={num_full} is less than any candidate takes: the fewest full rounds are {taken[name]:.3g}, of "
            f"{name}. Raise num_full, or let plans=true look for plans of just as many"
        )


def as_configuration(forecast: ForecastSettings) -> dict[str, Any]:
    """The fields of a file of conf/forecast/: those that are not the defaults'."""
    default = asdict(ForecastSettings())
    return {name: _plain(value) for name, value in asdict(forecast).items() if value != default[name]}


def _spread(pool: Pool, commands: Sequence[Command]) -> list[Any]:
    """The results of commands of which each gang does one at a time, in the commands' order."""
    results: list[Any] = [None] * len(commands)
    waiting = list(enumerate(commands))
    under_way: dict[str, int] = {}

    def begin(gang: str) -> None:
        if waiting:
            under_way[gang], command = waiting.pop(0)
            pool.submit(gang, command)

    for gang in pool.gangs:
        begin(gang)
    while under_way:
        match pool.next_event(TICK_SECONDS):
            case Reply(gang=gang, report=report):
                results[under_way.pop(gang)] = report.result
                begin(gang)
            case GangLost(gang=gang, cause=cause, details=details):
                raise GangFailed(f"{gang} failed: {cause}\n{details}")
    return results


def _plans(gram_TT: torch.Tensor, made_for: CalibratedFor, num_full: int) -> dict[str, Plan]:
    """Plans to try, by a name for people; no plan twice."""
    num_steps, step_sizes = made_for.num_steps, _step_sizes(made_for)
    found = {"nodes": node_plan(num_steps, num_full)}
    papers = _papers(num_steps, num_full).plan(num_steps)
    if papers.num_full == num_full:
        found["paper"] = papers
    forecasters: dict[str, StepForecaster] = {"reuse": reuse_weights, "damped": damped_weights}
    for name, forecaster in forecasters.items():
        for tail in TAILS:
            plan = best_plan(gram_TT, num_full, forecaster=forecaster, step_weights=step_sizes, tail=tail)
            if plan not in found.values():
                found[f"searched ({name}, tail {tail})"] = plan
    return found


def _papers_for(made_for: CalibratedFor, num_full: int) -> ForecastSettings:
    """The paper's method on its plan, as a calibration: what is found best for one model is for it alone."""
    plan = _papers(made_for.num_steps, num_full).plan(made_for.num_steps)
    own = Calibration(made_for=made_for, full_steps=plan.full_steps)
    return ForecastSettings(plan_shape=PlanShape.CALIBRATED, calibration=own)


def _papers(num_steps: int, num_full: int) -> ForecastSettings:
    """The paper's settings, whose growth leaves this number of full rounds or comes nearest to it; its own first."""
    settings = [ForecastSettings(growth=growth) for growth in _GROWTHS]
    return min(settings, key=lambda one: abs(one.plan(num_steps).num_full - num_full))


def _step_sizes(made_for: CalibratedFor) -> list[float]:
    """|Δσ| of each step: how far its velocity moves the latents."""
    shift, num_steps = made_for.flow_shift, made_for.num_steps
    sigmas = [shift * u / (1 + (shift - 1) * u) for u in (1 - step / num_steps for step in range(num_steps + 1))]
    return [before - after for before, after in pairwise(sigmas)]


def _plain(value: Any) -> Any:
    """Tuples as lists and enums as their words, weights with six digits: as a file holds them."""
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case float() if value not in (inf, -inf):
            return float(f"{value:.6g}")
        case str():
            return str(value)
        case _:
            return value
