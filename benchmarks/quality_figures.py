"""Results into figures: means, standard errors, worst captions, and differences caption by caption."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.quality_regimes import Regime
from benchmarks.quality_rows import FEWER_STEPS, PAPER, REFERENCE, PlanName, Row, rows_of, sweep_rows
from benchmarks.quality_store import Store

Records = dict[int, dict[str, Any]]
"""Results of one row, by caption."""
Find = Callable[[Row], Records]
ERROR_LINES = (
    (PAPER, PlanName.PAPER),
    ("spectrum, blend 0.5", PlanName.NODES),
    ("reuse", PlanName.NODES),
    ("damped 0.5", PlanName.NODES),
    ("damped 0.5, velocity", PlanName.NODES),
)
"""Methods and plans whose errors along the steps are plotted."""


def finder(store: Store, regime: Regime, captions: int) -> Find:
    """Gives the results that are there, of any row of a regime."""
    known = store.read()
    requests = regime.requests(captions)

    def find(row: Row) -> Records:
        keys = {caption: store.key(row, base) for caption, base in enumerate(requests)}
        return {caption: known[key] for caption, key in keys.items() if key in known}

    return find


def table_of(regime: Regime, find: Find) -> list[dict[str, Any]]:
    """The figures of a regime, row by row; rows without any result are left out.

    Differences are paired: over the captions that both a row and the one it is compared with have been rendered of.
    """
    rows = [(row, find(row)) for row in rows_of(regime)]
    reference = find(REFERENCE)
    papers = {row.target: found for row, found in rows if (row.method, row.plan) == (PAPER, PlanName.PAPER)}
    fewer = {row.target: found for row, found in rows if row.method == FEWER_STEPS}
    return [
        {
            "regime": regime.name,
            "method": row.method,
            "plan": row.plan.value,
            "target": row.target,
            **figures(found, reference),
            **compared("to_paper", found, {} if row.method == PAPER else papers.get(row.target, {})),
            **compared("to_fewer_steps", found, {} if row.method == FEWER_STEPS else fewer.get(row.target, {})),
        }
        for row, found in rows
        if found
    ]


def figures(found: Records, reference: Records) -> dict[str, Any]:
    """The figures of one row; its error, where it could not be rendered."""
    errors = sorted({record["error"] for record in found.values() if "error" in record})
    if errors:
        return {"captions": len(found), "error": "; ".join(errors)}
    decibels = _values(found, "psnr")
    mean, error = mean_and_error(decibels)
    ratios = [
        reference[caption]["seconds"] / record["seconds"]
        for caption, record in found.items()
        if record["seconds"] and caption in reference
    ]
    return {
        "captions": len(found),
        "full_rounds": fmean(_values(found, "full_rounds")),
        "speedup": median(ratios) if ratios else None,
        "psnr": mean,
        "psnr_error": error,
        "psnr_worst": min(decibels),
        "ssim": fmean(_values(found, "ssim")),
        "all_marks": fmean(record["marks"]["everything"] for record in found.values()),
        "psnr_by_caption": {str(caption): round(record["psnr"], 2) for caption, record in sorted(found.items())},
    }


def compared(name: str, found: Records, other: Records) -> dict[str, float]:
    """Mean and standard error of the difference in PSNR, and the share of captions that are better than the other."""
    both = [caption for caption in found if "psnr" in found[caption] and "psnr" in other.get(caption, {})]
    if not both:
        return {}
    differences = [found[caption]["psnr"] - other[caption]["psnr"] for caption in both]
    mean, error = mean_and_error(differences)
    return {name: mean, f"{name}_error": error, f"{name}_better": fmean(one > 0 for one in differences)}


def sweep_of(regime: Regime, find: Find, captions: int) -> dict[str, list[dict[str, float]]]:
    """PSNR against full rounds by method, over the captions that every point has been rendered of."""
    lines = {name: [find(row) for row in rows] for name, rows in sweep_rows(regime).items()}
    common = sorted(set(range(captions)).intersection(*(found for line in lines.values() for found in line)))
    if not common:
        return {}
    drawn = {}
    for name, line in lines.items():
        points = []
        for found in line:
            mean, error = mean_and_error([found[caption]["psnr"] for caption in common])
            rounds = fmean(found[caption]["full_rounds"] for caption in common)
            points.append({"full_rounds": rounds, "captions": len(common), "psnr": mean, "psnr_error": error})
        drawn[name] = sorted(points, key=lambda point: point["full_rounds"])
    return drawn


def errors_of(regime: Regime, find: Find, target: int) -> dict[str, dict[int, float]]:
    """Mean relative error of the forecast that each full round took the place of: by method, then by step."""
    lines: dict[str, dict[int, float]] = {}
    for row in rows_of(regime):
        if row.target != target or (row.method, row.plan) not in ERROR_LINES:
            continue
        by_step = defaultdict(list)
        for record in find(row).values():
            for step, error in record.get("forecast_errors", []):
                by_step[step].append(error)
        lines[row.name] = {step: fmean(errors) for step, errors in sorted(by_step.items())}
    return {name: line for name, line in lines.items() if line}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and standard error; of one value, 0."""
    return fmean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def _values(found: Mapping[int, dict[str, Any]], name: str) -> list[float]:
    return [float(record[name]) for record in found.values()]
