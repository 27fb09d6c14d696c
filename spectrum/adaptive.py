"""A plan that is made as the video goes, to hold an error budget.

At each full round the error of the forecast that would have been made there is known. From it follows how far the
next full round may be. Everything here is a pure function of numbers that all ranks share, so that all take the same
decision.
"""

from math import floor, isfinite

import torch

from spectrum.forecasters.damped import damped_weights
from spectrum.forecasters.reuse import reuse_weights
from spectrum.gram import Gram
from spectrum.plan import Plan
from spectrum.settings import ForecastSettings

_ORDER = 1.5
"""The error of a forecast is taken to grow as gap^1.5: between plain reuse (1) and a straight line (2)."""
_MOST_GROWTH = 2.0
"""A gap is at most so many times the one before, plus one: one lucky step must not open a wide gap."""
_OUT_OF_PROPORTION = 10.0
"""A forecast that is further than so many budgets from a cautious one is not trusted."""
_FAR = 1.0
"""Nor one that goes from the newest snapshot as far as that is long, and further than so many budgets."""


def first_plan(num_steps: int) -> Plan:
    """What is certain before the first round: the first step and the last are full."""
    return Plan.from_full_steps(num_steps, [0, num_steps - 1])


def next_full_step(step: int, *, gap: int, error: float | None, num_steps: int, budget: float, max_gap: int) -> int:
    """The step of the next full round.

    The error e of a forecast over `gap` steps is taken to grow as a power of the gap; the gap that would have
    erred by the budget b is gap·(b/e)^(1/1.5), as the step-size control of ODE solvers has it (Hairer, Nørsett and
    Wanner, Solving Ordinary Differential Equations I, §II.4).

    Args:
        step: of the full round just run.
        gap: steps since the full round before; 0 at the first.
        error: of the forecast that would have been made at `step`, relative to the features' norm; None at the first.
            One that is not finite makes the next round full.
        num_steps: of the video.
        budget: the relative error to hold.
        max_gap: no gap is wider.

    Returns:
        In step + 1 … num_steps; at most the last step, unless `step` is it.
    """
    last = num_steps - 1
    if step >= last:
        return num_steps
    if error is None or not isfinite(error) or gap < 1:
        return step + 1
    allowed = gap * (budget / error) ** (1 / _ORDER) if error > 0 else float("inf")
    most = min(_MOST_GROWTH * gap + 1, max_gap, last - step)
    return step + max(1, floor(min(allowed, most)))


def first_untrusted(settings: ForecastSettings, gram: Gram, steps: tuple[int, ...], end: int, num_steps: int) -> int:
    """The first step before `end` whose forecast is out of all proportion; `end` if there is none.

    A forecast is measured against a cautious one, a line damped by a half: a small error is no use if the weights
    amplify noise. And against the newest snapshot, since features that grow without bound take a cautious line with
    them. Known from the inner products before any forecast is made.
    """
    assert settings.error_budget is not None
    most = _OUT_OF_PROPORTION * settings.error_budget
    for target in range(steps[-1] + 1, end):
        weights_K = settings.weights(steps, target, num_steps=num_steps)
        from_cautious = gram.distance(weights_K, damped_weights(steps, target))
        from_newest = gram.distance(weights_K, reuse_weights(steps, target))
        if not (from_cautious <= most and from_newest <= max(most, _FAR)):  # NaN is untrusted too
            return target
    return end


def extended(plan: Plan, step: int, next_step: int) -> Plan:
    """The plan with its next full round after `step` at `next_step`; what comes after it is not decided yet."""
    num_steps = len(plan)
    full_steps = {*(one for one in plan.full_steps if one <= step), num_steps - 1}
    return Plan.from_full_steps(num_steps, sorted(full_steps | ({next_step} if next_step < num_steps else set())))


def open_loop_plan(settings: ForecastSettings, gram_TT: torch.Tensor) -> Plan:
    """The plan that the settings' error budget comes to where no forecast disturbs the features, and all are trusted.

    A video that is rendered with the budget asks for about as many full rounds; how many is not known before.

    Args:
        settings: with an error budget.
        gram_TT: inner products of the features of all T steps of a video with all rounds full: (T, T), float64.
    """
    assert settings.error_budget is not None
    num_steps = gram_TT.shape[0]
    plan, steps, step = first_plan(num_steps), tuple[int, ...](), 0
    gram = Gram(settings.capacity(plan))
    while plan.is_remembered(step):
        products = gram_TT[[*steps, step], step]
        gap, error = 0, None
        if steps:
            gap = step - steps[-1]
            error = gram.forecast_error(settings.weights(steps, step, num_steps=num_steps), products)
        gram.append(products)
        steps = (*steps, step)[-len(gram) :]
        next_step = next_full_step(
            step,
            gap=gap,
            error=error,
            num_steps=num_steps,
            budget=settings.error_budget,
            max_gap=settings.max_gap,
        )
        plan, step = extended(plan, step, next_step), next_step
    return plan
