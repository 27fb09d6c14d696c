"""The rows of the quality benchmark: which forecasters, plans and rivals are compared."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

import yaml

from benchmarks.demo_model import FOLDER, fingerprint
from benchmarks.quality_caches import CacheSettings
from benchmarks.quality_regimes import Regime
from benchmarks.quality_thresholds import ERROR_BUDGETS, Budget, budget_settings, cache_settings
from orchestrator.forecast_choice import FINGERPRINT_LENGTH
from orchestrator.model_folder import solver_name
from orchestrator.project import PROJECT
from orchestrator.request import Request
from spectrum import CalibratedFor, Features, ForecastSettings, Method, PlanShape, TimeAxis

NUM_STEPS = 50
TARGETS = (14, 10)
"""Full rounds of the tables."""
SWEEP = (8, 10, 12, 14, 18, 24)
"""Full rounds of the plot."""
GROWTHS = {8: 12.0, 10: 3.0, 12: 1.5, 14: 0.75, 18: 0.25, 24: 0.08}
"""Growth of the gaps (the paper's α) by the number of full rounds that it leaves of 50."""
BUDGET_SHARES = {18: 0.5, 24: 0.2}
"""Of the error budget for 14: for the plot's points with more full rounds, which are drawn at what they came to."""
ALL_FULL = "all rounds full"
PAPER = "spectrum (the paper's)"
FEWER_STEPS = "fewer steps"


class PlanName(StrEnum):
    """A plan's name in the tables."""

    PAPER = "paper"
    NODES = "nodes"
    UNIFORM = "uniform"
    CALIBRATED = "calibrated"
    ADAPTIVE = "adaptive"
    NONE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One way to render a request."""

    method: str
    plan: PlanName = PlanName.NONE
    target: int
    """Full rounds that it aims at."""
    forecast: ForecastSettings | None = None
    num_steps: int = NUM_STEPS
    cache: CacheSettings | None = None
    """A cache of diffusers, on the stock pipeline."""
    dtype: str = "float32"
    ring: int = 1
    """Ranks that hold a part of the tokens each."""

    @property
    def name(self) -> str:
        """Unique in a regime, with `target`."""
        return f"{self.method}, {self.plan} plan" if self.plan else self.method

    def request(self, base: Request) -> Request:
        """The request, of all rounds full, as this row renders it."""
        return replace(base, num_steps=self.num_steps, forecast=self.forecast or base.forecast)

    def as_json(self, base: Request) -> dict[str, Any]:
        """All that decides the pixels, but for the model. Settings that are the default's are left out."""
        request = self.request(base)
        cache = None if self.cache is None else self.cache.as_json()
        return {
            "request": {**_told(request), "forecast": _told(request.forecast)},
            "cache": cache,
            "dtype": self.dtype,
            "ring": self.ring,
        }


def _told(settings: Request | ForecastSettings) -> dict[str, Any]:
    """Fields that are not the default's: a setting that is added later does not make old results another's."""
    values = asdict(settings)
    return {one.name: values[one.name] for one in fields(settings) if getattr(settings, one.name) != one.default}


REFERENCE = Row(method=ALL_FULL, target=NUM_STEPS)
NOISE_FLOOR = (
    Row(method=f"{ALL_FULL}, ring of two ranks", target=NUM_STEPS, ring=2),
    Row(method=f"{ALL_FULL}, bfloat16", target=NUM_STEPS, dtype="bfloat16"),
    Row(method=f"{ALL_FULL}, bfloat16, ring of two ranks", target=NUM_STEPS, dtype="bfloat16", ring=2),
)
"""What the same request comes to with other roundings: differences below these are none."""


def rows_of(regime: Regime) -> list[Row]:
    """The rows of the tables, the one of all rounds full first."""
    rows = [REFERENCE]
    for target in TARGETS:
        rows += [*_on_papers_plan(regime, target), *_on_nodes_plan(target), *_on_uniform_plan(target)]
        rows += _calibrated(regime, target)
        rows += [_budgeted(regime, target), _fewer_steps(target)]
        rows += [
            Row(method=name, target=target, cache=cache)
            for name, cache in cache_settings(regime.name, target).items()
        ]
    return [*rows, *NOISE_FLOOR]


def sweep_rows(regime: Regime) -> dict[str, list[Row]]:
    """The lines of the plot: the same method with fewer and more full rounds. Some rows are those of the tables.

    Of the calibrations there are the tables' rows alone; what a budget comes to is known once it is rendered.
    """
    lines: dict[str, list[Row]] = {}
    for target in SWEEP:
        nodes = ForecastSettings(plan_shape=PlanShape.NODES, num_full=target)
        growth = ForecastSettings(growth=GROWTHS[target])
        damped = {"method": Method.DAMPED, "features": Features.VELOCITY}
        rows = [
            Row(method=PAPER, plan=PlanName.PAPER, target=target, forecast=growth),
            Row(method="spectrum, blend 0.5", plan=PlanName.NODES, target=target, forecast=replace(nodes, blend=0.5)),
            Row(method="reuse", plan=PlanName.NODES, target=target, forecast=replace(nodes, method=Method.REUSE)),
            Row(
                method="damped 0.5, velocity",
                plan=PlanName.NODES,
                target=target,
                forecast=replace(nodes, **damped),  # type: ignore[arg-type]
            ),
            _fewer_steps(target),
        ]
        for row in rows:
            lines.setdefault(row.name, []).append(row)
    for target in sorted(TARGETS):
        for row in [*_calibrated(regime, target), _budgeted(regime, target)]:
            lines.setdefault(row.name, []).append(row)
    for target, share in BUDGET_SHARES.items():
        row = _budgeted(regime, target, ERROR_BUDGETS[regime.name][14].times(share))
        lines[row.name].append(row)
    return lines


def missing_calibrations(regime: Regime) -> list[str]:
    """Names of the files whose rows are left out."""
    return [name for target in TARGETS if not (PROJECT / (name := _calibration_file(regime, target))).is_file()]


def _on_papers_plan(regime: Regime, target: int) -> Iterator[Row]:
    paper = ForecastSettings(growth=GROWTHS[target])
    settings = {
        PAPER: paper,
        "spectrum, blend 0.5": replace(paper, blend=0.5),
        "spectrum, constant unpenalised": replace(paper, penalise_constant=False),
        "spectrum, half-life 3 full rounds": replace(paper, half_life=3.0),
        "spectrum, history of 8": replace(paper, max_history=8),
        "spectrum, time is sigma": replace(paper, axis=TimeAxis.SIGMA, axis_shift=regime.flow_shift),
        **_rivals(paper),
        "taylor, order 1": replace(paper, method=Method.TAYLOR, order=1),
        "taylor, order 2": replace(paper, method=Method.TAYLOR, order=2),
        "taylor, order 3": replace(paper, method=Method.TAYLOR, order=3),
    }
    for method, forecast in settings.items():
        yield Row(method=method, plan=PlanName.PAPER, target=target, forecast=forecast)


def _on_nodes_plan(target: int) -> Iterator[Row]:
    nodes = ForecastSettings(plan_shape=PlanShape.NODES, num_full=target)
    settings = {"spectrum, blend 0.5": replace(nodes, blend=0.5), **_rivals(nodes)}
    for method, forecast in settings.items():
        yield Row(method=method, plan=PlanName.NODES, target=target, forecast=forecast)


def _on_uniform_plan(target: int) -> Iterator[Row]:
    every = _rivals(ForecastSettings(plan_shape=PlanShape.UNIFORM, num_full=target))
    for method in ("reuse", "damped 0.5, velocity"):
        yield Row(method=method, plan=PlanName.UNIFORM, target=target, forecast=every[method])


def _rivals(plan: ForecastSettings) -> dict[str, ForecastSettings]:
    """Other forecasters on a plan. A reconstruction is from a paper's abstract and others' notes on it."""
    return {
        "reuse": replace(plan, method=Method.REUSE),
        "damped 0.5": replace(plan, method=Method.DAMPED),
        "damped 0.5, velocity": replace(plan, method=Method.DAMPED, features=Features.VELOCITY),
        "adams, order 2 (reconstruction)": replace(plan, method=Method.ADAMS, order=2),
        "foca (reconstruction)": replace(plan, method=Method.FOCA),
        "svd, rank 32 (reconstruction)": replace(plan, method=Method.SVD, rank=32),
    }


def _fewer_steps(target: int) -> Row:
    return Row(method=FEWER_STEPS, target=target, num_steps=target)


def _budgeted(regime: Regime, target: int, budget: Budget | None = None) -> Row:
    """With an error budget; if none is given, the one that comes nearest to the target."""
    return Row(
        method="error budget: damped, velocity",
        plan=PlanName.ADAPTIVE,
        target=target,
        forecast=budget_settings(budget or ERROR_BUDGETS[regime.name][target]),
    )


def _calibration_file(regime: Regime, target: int) -> str:
    return f"conf/forecast/tiny_wan_{'' if regime.name == 'plain' else f'{regime.name}_'}{target}.yaml"


def _calibrated(regime: Regime, target: int) -> list[Row]:
    """The row of the calibration that the project ships for this regime, if it does.

    Raises:
        ValueError: the file's calibration was made for something else.
    """
    file = PROJECT / _calibration_file(regime, target)
    if not file.is_file():
        return []
    forecast = ForecastSettings(**yaml.safe_load(file.read_text(encoding="utf-8")))
    rendered = CalibratedFor(
        model=fingerprint()[:FINGERPRINT_LENGTH],
        solver=solver_name(FOLDER),
        num_steps=NUM_STEPS,
        flow_shift=regime.flow_shift,
        guidance_scale=regime.guidance_scale,
    )
    differences = (
        ["no calibration"] if forecast.calibration is None else forecast.calibration.made_for.differences(rendered)
    )
    if differences:
        raise ValueError(f"{file.name} is not for the {regime.name} regime: {'; '.join(differences)}")
    return [Row(method="calibrated", plan=PlanName.CALIBRATED, target=target, forecast=forecast)]
