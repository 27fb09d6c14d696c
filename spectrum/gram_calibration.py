"""Weights and plans from the inner products of a model's own features.

For a linear forecaster every open-loop error of every plan is algebra on one matrix: the T×T inner products of the
features of all T steps, averaged over a few videos. Beware: the minimum of the open-loop error is not the best in the
closed loop, where errors come back through the latents and large weights amplify them. Hence the shrinkage here; how
strong it should be is decided by rendering.
"""

from collections.abc import Callable, Sequence
from math import isfinite

import torch

from spectrum.gram import squared_error
from spectrum.plan import Plan

StepForecaster = Callable[[Sequence[int], int], torch.Tensor]
"""(steps of the snapshots, target step) → weights, float64."""


def fitted_weights(
    gram_TT: torch.Tensor,
    full_steps: Sequence[int],
    *,
    prior: StepForecaster,
    shrinkage: float,
    max_history: int,
) -> tuple[tuple[float, ...], ...]:
    """For each step from 1 on, the weights of the newest snapshots that err least, shrunk towards a forecaster's.

    With G the inner products of the history, g those with the features to forecast, w₀ the prior's weights and s the
    mean of G's diagonal,

        w = argmin wᵀGw − 2wᵀg + μ·s·‖w − w₀‖²,    Σₖ wₖ = 1,

    which is ridge regression towards w₀ under one linear constraint (Boyd and Vandenberghe, Convex Optimization,
    §10.1): one small linear system for each step.

    Args:
        gram_TT: (T, T), float64.
        full_steps: of the plan, ascending, from 0.
        prior: gives w₀.
        shrinkage: μ > 0 and finite. The larger, the nearer to the prior, less what its weights' sum lacks to 1.
        max_history: snapshots that a forecast may use.

    Returns:
        T − 1 lists, as `Calibration.weights`.

    Raises:
        ValueError: `shrinkage` is not a finite number above 0.
    """
    if not (isfinite(shrinkage) and shrinkage > 0):
        raise ValueError(f"shrinkage={shrinkage} must be a finite number above 0")
    fitted = []
    for step in range(1, gram_TT.shape[0]):
        history = [one for one in full_steps if one < step][-max_history:]
        own_KK, target_K = gram_TT[history][:, history], gram_TT[history, step]
        strength = shrinkage * float(own_KK.diagonal().mean())
        K = len(history)
        system = torch.zeros(K + 1, K + 1, dtype=torch.float64)
        system[:K, :K] = own_KK + strength * torch.eye(K, dtype=torch.float64)
        system[K, :K] = system[:K, K] = strength  # of the diagonal's size, for the condition of the system
        right = torch.cat([target_K + strength * prior(history, step), torch.tensor([strength], dtype=torch.float64)])
        fitted.append(tuple(torch.linalg.solve(system, right)[:K].tolist()))
    return tuple(fitted)


def best_plan(
    gram_TT: torch.Tensor,
    num_full: int,
    *,
    forecaster: StepForecaster,
    step_weights: Sequence[float],
    tail: int = 2,
    max_gap: int | None = None,
) -> Plan:
    """The plan of `num_full` rounds whose forecasts err least in total, by dynamic programming.

    The squared error of each forecast is weighted by how much its velocity moves the latents. A forecast is made
    from the last two full rounds, so that the best continuation depends on these two alone (Bellman's principle).

    Args:
        gram_TT: (T, T), float64.
        num_full: full rounds, at least 2.
        forecaster: of two snapshots, or one.
        step_weights: T weights; the solver's step sizes `|Δσ|`.
        tail: at most so many forecasts after the last full round.
        max_gap: no gap is wider; None for any.

    Raises:
        ValueError: no such plan exists.
    """
    num_steps = gram_TT.shape[0]
    most = max_gap or num_steps
    cost = _gap_costs(gram_TT, forecaster, step_weights)
    # total[before][last]: the least cost up to `last`, whose full round before was `before`; with k full rounds.
    infinity = float("inf")
    total = torch.full((num_steps, num_steps), infinity, dtype=torch.float64)
    for last in range(1, min(most, num_steps - 1) + 1):
        total[0, last] = cost[0, 0, last]
    came_from = []
    for _ in range(num_full - 2):
        # through[before, last, following]
        through = total[:, :, None] + cost[:, :, :num_steps]
        gaps = torch.arange(num_steps)[None, :] - torch.arange(num_steps)[:, None]
        through = through.masked_fill((gaps > most)[None], infinity)
        best = through.min(dim=0)
        came_from.append(best.indices)
        total = best.values
    endings = total + cost[:, :, num_steps]
    endings[:, : max(num_steps - 1 - tail, 0)] = infinity
    if num_full < 2 or not bool(endings.isfinite().any()):
        raise ValueError(
            f"no plan of {num_full} full rounds in {num_steps} steps has gaps of at most {most}, {tail} steps last"
        )
    before, last = divmod(int(endings.argmin()), num_steps)
    steps = [last, before]
    for origins in reversed(came_from):
        before, last = int(origins[before, last]), before
        steps.append(before)
    return Plan.from_full_steps(num_steps, sorted(set(steps)))


def _gap_costs(gram_TT: torch.Tensor, forecaster: StepForecaster, step_weights: Sequence[float]) -> torch.Tensor:
    """[before, last, following]: weighted squared errors of the forecasts between `last` and `following`.

    Infinite unless before < last < following, but for before = last = 0, where there is one snapshot. The end of the
    video counts as a following full round, at T.
    """
    num_steps = gram_TT.shape[0]
    costs = torch.full((num_steps, num_steps, num_steps + 1), float("inf"), dtype=torch.float64)
    pairs = [(0, 0), *((before, last) for last in range(1, num_steps) for before in range(last))]
    for before, last in pairs:
        history = [before, last] if before < last else [last]
        own_KK = gram_TT[history][:, history]
        running = 0.0
        for following in range(last + 1, num_steps + 1):
            costs[before, last, following] = running
            if following < num_steps:
                norm, products_K = gram_TT[following, following], gram_TT[history, following]
                error = squared_error(own_KK, products_K, norm, forecaster(history, following))
                running += step_weights[following] * float(error)
    return costs
