"""Choose the error budgets of the quality benchmark: `python -m benchmarks.quality_budgets --workers 2`.

An error budget has three settings that belong together: how much of the slope forecasts keep, the widest gap, and the
budget itself. For each pair of the first two this program finds, on captions that the benchmark does not use, the
budget that comes to 14 or to 10 full rounds in the mean, and prints the PSNR against the video of 50 full rounds. The
best of each regime and number of rounds stand as constants in `benchmarks.quality_thresholds`.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import log
from statistics import fmean
from typing import Any

import torch
from numpy.typing import NDArray
from torch import multiprocessing

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import SELECTION_SEED, DemoModel
from benchmarks.quality_regimes import REGIMES
from benchmarks.quality_rows import TARGETS
from benchmarks.quality_thresholds import Budget, budget_settings
from benchmarks.quality_work import end_if_orphaned
from benchmarks.quiet import silence_libraries
from orchestrator.request import Request
from orchestrator.similarity import psnr

DAMPINGS = (0.25, 0.5, 0.65, 0.8)
MAX_GAPS = {14: (5, 6, 8), 10: (8, 9, 12)}
"""Widest gaps to try, by the number of full rounds: such that fewer rounds than these could be full."""
CLOSE_ENOUGH = 0.2
"""Full rounds."""
EVALUATIONS = 5
USUAL_POWER = 0.3
"""Full rounds fall about as this power of the budget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a budget comes to over the captions."""

    regime: str
    target: int
    budget: Budget
    full_rounds: float
    psnr: float
    """dB, the mean."""
    worst: float
    """dB."""

    @property
    def is_close(self) -> bool:
        """Whether it may be compared with others of this target."""
        return abs(self.full_rounds - self.target) <= 2 * CLOSE_ENOUGH


def find_budget(evaluate: Callable[[float], Found], *, start: float) -> Found:
    """The budget, with three digits, that comes nearest to its target: the secant method on logarithms."""
    tried: list[tuple[float, Found]] = []
    error = start
    for _ in range(EVALUATIONS):
        found = evaluate(error := float(f"{error:.3g}"))
        tried.append((error, found))
        if abs(found.full_rounds - found.target) <= CLOSE_ENOUGH:
            break
        power = _power(tried[-2:])
        error *= (found.full_rounds / found.target) ** (1 / power)
    return min((found for _, found in tried), key=lambda one: abs(one.full_rounds - one.target))


def _power(tried: Sequence[tuple[float, Found]]) -> float:
    """By which power of the budget full rounds fall, from the last two; within what is plausible."""
    if len(tried) < 2 or tried[0][0] == tried[1][0]:
        return USUAL_POWER
    (error, found), (next_error, next_found) = tried
    power = -log(next_found.full_rounds / found.full_rounds) / log(next_error / error)
    return min(max(power, USUAL_POWER / 3), 3 * USUAL_POWER)


def search_all(place: tuple[str, int], *, num_captions: int) -> list[Found]:
    """Every pair of damping and widest gap, for one regime and number of full rounds."""
    silence_libraries()
    torch.set_num_threads(1)
    name, target = place
    [regime] = [one for one in REGIMES if one.name == name]
    model = DemoModel()
    pairs = [(one, model.render(one).frames) for one in regime.requests(num_captions, dataset_seed=SELECTION_SEED)]
    results: list[Found] = []
    for max_gap, damping in product(MAX_GAPS[target], DAMPINGS):
        start = results[-1].budget.error if results else 0.5 * 14 / target
        others = Budget(error=start, max_gap=max_gap, damping=damping)
        results.append(find_budget(partial(_evaluate, model, pairs, place, others), start=start))
        print(_line(results[-1]), flush=True)
    return results


def _evaluate(
    model: DemoModel,
    pairs: Sequence[tuple[Request, NDArray[Any]]],
    place: tuple[str, int],
    others: Budget,
    error: float,
) -> Found:
    """`others` with the budget `error`, over requests and their videos with all rounds full."""
    end_if_orphaned()
    budget = replace(others, error=error)
    settings = budget_settings(budget)
    rendered = [model.render(replace(request, forecast=settings)) for request, _ in pairs]
    marks = [psnr(reference, one.frames) for one, (_, reference) in zip(rendered, pairs, strict=True)]
    regime, target = place
    return Found(
        regime=regime,
        target=target,
        budget=budget,
        full_rounds=fmean(one.num_full_rounds for one in rendered),
        psnr=fmean(marks),
        worst=min(marks),
    )


def best_of(found: Sequence[Found]) -> Found:
    """The best of those that come to their target: by the mean and as much by the worst, as calibrations are chosen.

    Raises:
        ValueError: none comes to it.
    """
    return max((one for one in found if one.is_close), key=lambda one: one.psnr + one.worst)


def _line(found: Found) -> str:
    one = found.budget
    return (
        f"| {found.regime} | {found.target} | {one.max_gap} | {one.damping:g} | {one.error:g} "
        f"| {found.full_rounds:.1f} | {found.psnr:.1f} | {found.worst:.1f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Search and print."""
    options = _options(arguments)
    names = [regime.name for regime in REGIMES if options.regime in (None, regime.name)]
    places = [(name, target) for name in names for target in TARGETS]
    print("| regime | target | max_gap | damping | error_budget | full rounds | PSNR, mean | worst |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    with multiprocessing.get_context("spawn").Pool(options.workers) as workers:
        found = list(
            workers.imap(partial(search_all, num_captions=options.captions), places[: 1 if options.quick else None])
        )
    best = [best_of(one) for one in found]
    print("\nThe best of each:\n")
    print("\n".join(_line(one) for one in best))
    write_json(
        options.json,
        {
            "captions": options.captions,
            "best": [
                {
                    "regime": one.regime,
                    "target": one.target,
                    "error_budget": one.budget.error,
                    "max_gap": one.budget.max_gap,
                    "damping": one.budget.damping,
                    "full_rounds": one.full_rounds,
                    "psnr": one.psnr,
                }
                for one in best
            ],
        },
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser(__doc__ or "")
    command.add_argument("--captions", type=int, help="captions of each regime (default 16; with --quick 1)")
    command.add_argument("--regime", choices=[regime.name for regime in REGIMES], help="this one alone")
    command.add_argument("--workers", type=int, default=1, help="processes, of one thread each (default %(default)s)")
    options = command.parse_args(arguments)
    if options.captions is None:
        options.captions = 1 if options.quick else 16
    for name in ("captions", "workers"):
        if getattr(options, name) < 1:
            command.error(f"--{name}={getattr(options, name)} must be at least 1")
    return options


if __name__ == "__main__":
    main()
