"""Error budgets that come to a wanted number of full rounds, from inner products alone."""

from dataclasses import replace
from itertools import product
from math import exp, log
from statistics import fmean

import torch

from spectrum import ForecastSettings, Method
from spectrum.adaptive import open_loop_plan

DAMPINGS = (0.25, 0.5, 0.75)
GAPS = (1.4, 1.7, 2.4)
"""Widest gaps to try, as multiples of the mean gap."""
BUDGETS = (1e-3, 10.0)
"""Budgets are looked for in here, on a logarithmic scale."""
HALVINGS = 14
CLOSE_ENOUGH = 0.75
"""Full rounds that a budget may be away from the wanted number; where none is nearer there is no candidate."""


def budget_candidates(grams_VTT: torch.Tensor, base: ForecastSettings, num_full: int) -> dict[str, ForecastSettings]:
    """Settings with an error budget under which the videos ask for `num_full` full rounds in the mean.

    A damped line, for several dampings and widest gaps. In the open loop: rendered, the number comes out somewhat
    different.

    Args:
        grams_VTT: of each of V videos the inner products of the features of all T steps as they are, not normalised:
            so the engine measures what forecasts err by.
        base: what is the same in all of them.
        num_full: full rounds.
    """
    num_steps, found = grams_VTT.shape[-1], {}
    gaps = dict.fromkeys(min(max(round(ratio * num_steps / num_full), 2), num_steps - 1) for ratio in GAPS)
    for max_gap, damping in product(gaps, DAMPINGS):
        damped = replace(base, method=Method.DAMPED, damping=damping, max_gap=max_gap, max_history=2)
        settings, rounds = _budget_for(grams_VTT, damped, num_full)
        if abs(rounds - num_full) <= CLOSE_ENOUGH:
            found[f"error budget {settings.error_budget:.3g}, damped {damping}, gaps up to {max_gap}"] = settings
    return found


def _budget_for(grams_VTT: torch.Tensor, damped: ForecastSettings, num_full: int) -> tuple[ForecastSettings, float]:
    """The settings with the budget that comes nearest, and its full rounds. Larger budgets ask for fewer of them."""
    low, high = map(log, BUDGETS)
    tried = []
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        settings = replace(damped, error_budget=float(f"{exp(middle):.3g}"))
        rounds = fmean(open_loop_plan(settings, gram_TT).num_full for gram_TT in grams_VTT)
        tried.append((settings, rounds))
        if rounds == num_full:
            break
        low, high = (middle, high) if rounds > num_full else (low, middle)
    return min(tried, key=lambda one: abs(one[1] - num_full))
