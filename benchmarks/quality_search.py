"""Find the thresholds of the quality benchmark: `python -m benchmarks.quality_search [--regime NAME]`.

A cache's threshold does not say how many full rounds it comes to. This program finds, on captions that the benchmark
does not use, the values that come nearest to 14 and to 10 full rounds in the mean; they stand as constants in
`benchmarks.quality_thresholds`. For MagCache it measures the ratios first, which the library wants of every model.
Quality is not looked at. Error budgets: `benchmarks.quality_budgets`.
"""

import argparse
import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from math import exp, log
from statistics import fmean

import torch

from benchmarks.demo_model import SELECTION_SEED
from benchmarks.quality_caches import CachedPipeline, CacheKind, CacheSettings
from benchmarks.quality_regimes import REGIMES, Regime
from benchmarks.quality_rows import TARGETS
from benchmarks.quality_thresholds import first_block_cache, mag_cache, sea_cache
from benchmarks.quiet import silence_libraries
from orchestrator.request import Request

RANGE = (0.02, 5.0)
"""Thresholds are looked for in here, on a logarithmic scale."""
CLOSE_ENOUGH = 0.2
"""Full rounds."""


def search(num_full: Callable[[float], float], target: float, *, evaluations: int = 12) -> tuple[float, float]:
    """The threshold, with three digits, whose number of full rounds is nearest to `target`, and that number.

    Bisection: a larger threshold never means more full rounds, but for noise.
    """
    low, high = map(log, RANGE)
    best = (float("nan"), float("inf"))
    for _ in range(evaluations):
        middle = (low + high) / 2
        threshold = float(f"{exp(middle):.3g}")
        found = num_full(threshold)
        if abs(found - target) < abs(best[1] - target):
            best = (threshold, found)
        if abs(found - target) <= CLOSE_ENOUGH:
            break
        low, high = (middle, high) if found > target else (low, middle)
    return best


def mag_ratios(pipeline: CachedPipeline, requests: list[Request]) -> list[float]:
    """MagCache's calibration: the mean over captions and branches, as it prints them."""
    printed = io.StringIO()
    calibrate = CacheSettings(
        kind=CacheKind.MAG, options={"num_inference_steps": requests[0].num_steps, "calibrate": True}
    )
    with redirect_stdout(printed):
        for request in requests:
            pipeline.render(request, calibrate)
    lists = [json.loads(found) for found in re.findall(r"^\[[-\d., e]+\]$", printed.getvalue(), re.MULTILINE)]
    return [round(fmean(of_step), 4) for of_step in zip(*lists, strict=True)]


def find_all(regime: Regime, num_captions: int) -> None:
    """Search and print everything for one regime."""
    requests = regime.requests(num_captions, dataset_seed=SELECTION_SEED)
    pipeline = CachedPipeline()
    ratios = mag_ratios(pipeline, requests)
    print(f"{regime.name}: MagCache ratios {ratios}", flush=True)

    def with_cache(make: Callable[[float], CacheSettings]) -> Callable[[float], float]:
        return lambda threshold: fmean(pipeline.render(one, make(threshold)).num_full_rounds for one in requests)

    def with_ratios(threshold: float) -> CacheSettings:
        return mag_cache(threshold, ratios)

    searches = {
        "FirstBlockCache": with_cache(first_block_cache),
        "SeaCache": with_cache(sea_cache),
        "MagCache": with_cache(with_ratios),
    }
    for name, num_full in searches.items():
        for target in TARGETS:
            threshold, found = search(num_full, target)
            print(f"{regime.name}: {name} for {target}: {threshold:g} comes to {found:.2f}", flush=True)


def main() -> None:
    """Search and print."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    command.add_argument("--regime", choices=[one.name for one in REGIMES], help="this one alone (default: both)")
    command.add_argument("--captions", type=int, default=16, help="captions of each regime (default %(default)s)")
    arguments = command.parse_args()
    silence_libraries()
    torch.set_num_threads(1)
    for regime in REGIMES:
        if arguments.regime in (None, regime.name):
            find_all(regime, arguments.captions)


if __name__ == "__main__":
    main()
