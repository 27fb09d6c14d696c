"""Which forecaster and which plan: the one object that the trunk and the render engine share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import torch

from spectrum.calibration import Calibration, calibration_of
from spectrum.forecasters import (
    adams_weights,
    damped_weights,
    foca_weights,
    forecast_weights,
    reuse_weights,
    taylor_weights,
)
from spectrum.plan import Plan, Round, plan_rounds
from spectrum.plan_shapes import node_plan, uniform_plan
from spectrum.time_axis import TimeAxis, axis_time

_NUM_FULL = 14
"""Of 50 steps, as many as the paper's plan has."""
_ADAPTIVE_HISTORY = 8
"""Snapshots that are kept with an error budget: how many there will be is not known, and eight are as good as all."""


class Method(StrEnum):
    """How the features of a forecast round are extrapolated."""

    SPECTRUM = "spectrum"  # Chebyshev polynomials fitted by ridge regression, blended with a straight line
    REUSE = "reuse"  # the last full round's features as they are
    DAMPED = "damped"  # a straight line through the last two snapshots, damped
    TAYLOR = "taylor"  # finite-difference Taylor series (TaylorSeer)
    ADAMS = "adams"  # linear multistep on the slopes (PrediT)
    FOCA = "foca"  # BDF2 predictor, calibrated by Heun's rule (FoCa)
    SVD = "svd"  # principal part forecast, the rest reused (SVD-Cache)
    CALIBRATED = "calibrated"  # weights learned from the model's own features
    NONE = "none"  # every round is full


class Features(StrEnum):
    """What is forecast."""

    HIDDEN = "hidden"  # the hidden state after the last block; the output head runs at every step
    VELOCITY = "velocity"  # the output head's result, both guidance branches combined


class PlanShape(StrEnum):
    """Which rounds are full."""

    PAPER = "paper"  # warm-up, then ever wider gaps: warmup_steps, window, growth
    UNIFORM = "uniform"  # num_full at equal distances
    NODES = "nodes"  # num_full, dense at both ends: node_density
    LIST = "list"  # full_steps
    CALIBRATED = "calibrated"  # the calibration's


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastSettings:
    """Settings of the forecaster. The defaults are the paper's.

    Raises:
        ValueError: a setting is out of range; the message says which and what is allowed.
    """

    method: Method = Method.SPECTRUM
    """How features are extrapolated."""
    features: Features = Features.HIDDEN
    """What is extrapolated: "velocity" takes 80 times less memory than "hidden" on the 14B."""
    plan_shape: PlanShape = PlanShape.PAPER
    """Which rounds are full."""
    warmup_steps: int = 5
    """Full rounds at the start (plan paper)."""
    window: float = 2.0
    """First gap between full rounds after the warm-up, in steps (plan paper)."""
    growth: float = 0.75
    """How much each later gap is wider, in steps: the paper's α. 0.75 → 14 of 50 rounds full, 3 → 10 (plan paper)."""
    num_full: int = _NUM_FULL
    """Full rounds (plans uniform and nodes); refused where another plan has its own number."""
    node_density: float = 0.6
    """0 is uniform, 1 the Chebyshev–Lobatto nodes (plan nodes)."""
    full_steps: tuple[int, ...] = ()
    """The steps whose rounds are full (plan list)."""
    error_budget: float | None = None
    """If set, gaps are chosen as the video goes, so that forecasts err by this share of the features' norm."""
    max_gap: int = 8
    """Widest gap between full rounds (error_budget)."""
    max_history: int | None = None
    """Snapshots that are kept; None keeps all, as the paper does, and with an error budget eight."""
    degree: int = 4
    """Highest Chebyshev polynomial, the paper's M (method spectrum)."""
    ridge: float = 0.1
    """Ridge penalty, the paper's λ (method spectrum)."""
    blend: float = 1.0
    """Share of the Chebyshev forecast; the rest is linear extrapolation (method spectrum)."""
    penalise_constant: bool = True
    """Whether the ridge shrinks the constant term too, as in the paper (method spectrum)."""
    half_life: float | None = None
    """Full rounds after which a snapshot counts half in the fit; None: never, as in the paper (method spectrum)."""
    axis: TimeAxis = TimeAxis.STEP
    """What is taken for time: the step, as in the paper, or how much noise is left (sigma, log_snr)."""
    axis_shift: float = 3.0
    """Shift of the sigmas (axes sigma and log_snr); the pipeline's flow shift."""
    damping: float = 0.5
    """Share of the slope that is kept (method damped)."""
    order: int = 1
    """Highest derivative (methods taylor and svd), or number of slopes (method adams)."""
    rank: int = 32
    """Directions of the principal part (method svd)."""
    calibration: Calibration | None = None
    """Plan and weights that were learned for one model (method calibrated, plan calibrated)."""

    def __post_init__(self) -> None:
        for name, kind in (("method", Method), ("features", Features), ("plan_shape", PlanShape), ("axis", TimeAxis)):
            value = getattr(self, name)
            if value not in tuple(kind):
                raise ValueError(f"{name}={value!s} must be one of: {', '.join(kind)}")
            object.__setattr__(self, name, kind(value))  # a plain string is as good
        object.__setattr__(self, "full_steps", tuple(self.full_steps))
        object.__setattr__(self, "calibration", calibration_of(self.calibration))
        self._check_numbers()
        self._check_list()
        self._check_budget()
        self._check_calibration()
        if self.calibration is None and self.plan_shape is not PlanShape.LIST:
            self.plan(max(self.num_full, 1))
        if self.method is not Method.CALIBRATED:
            self.weights([0], 1, num_steps=2)

    @property
    def is_adaptive(self) -> bool:
        """Whether an error budget chooses the full rounds as the video goes."""
        return self.error_budget is not None and self.method is not Method.NONE

    def plan(self, num_steps: int) -> Plan:
        """The rounds of a video of `num_steps` denoising steps, where no error budget decides as it goes.

        Raises:
            ValueError: the plan is not for this number of steps.
        """
        if self.method is Method.NONE:
            return Plan((Round.FULL,) * num_steps)
        match self.plan_shape:
            case PlanShape.PAPER:
                return plan_rounds(num_steps, warmup_steps=self.warmup_steps, window=self.window, growth=self.growth)
            case PlanShape.UNIFORM:
                return uniform_plan(num_steps, self.num_full)
            case PlanShape.NODES:
                return node_plan(num_steps, self.num_full, density=self.node_density)
            case PlanShape.LIST:
                return Plan.from_full_steps(num_steps, self.full_steps)
            case PlanShape.CALIBRATED:
                assert self.calibration is not None
                if num_steps != self.calibration.made_for.num_steps:
                    raise ValueError(
                        f"the calibration is for {self.calibration.made_for.num_steps} steps, not {num_steps}"
                    )
                return self.calibration.plan

    def capacity(self, plan: Plan) -> int:
        """Snapshots that a history has to hold: no more than the method looks at.

        With an error budget any plan of so many steps has to do, and the history is bounded whatever it comes to; it
        holds two at least, from which the cautious forecast is made that others are measured against.
        """
        used = self._num_used
        if self.is_adaptive:
            bounds = [len(plan), self.max_history or _ADAPTIVE_HISTORY, used and max(used, 2)]
        else:
            bounds = [max(plan.num_snapshots, 1), self.max_history, used]
        return min(bound for bound in bounds if bound is not None)

    @property
    def _num_used(self) -> int | None:
        """The most snapshots that a forecast looks at; None for all that there are."""
        match self.method:
            case Method.SPECTRUM:
                return None
            case Method.CALIBRATED:
                assert self.calibration is not None
                return self.calibration.num_snapshots
            case Method.TAYLOR | Method.SVD | Method.ADAMS:
                return self.order + 1
            case Method.FOCA:
                return 3
            case Method.DAMPED:
                return 2
            case Method.REUSE | Method.NONE:
                return 1

    def weights(  # noqa: PLR0911 - one for each method
        self, steps: Sequence[int], target: int, *, num_steps: int
    ) -> torch.Tensor:
        """Weights of the K snapshots of `steps` in the forecast of step `target`; of its linear part (method svd).

        Returns:
            float64 on the CPU, shape (K,).
        """
        if self.method is Method.CALIBRATED:
            assert self.calibration is not None
            return self.calibration.weights_at(target, len(steps))
        times = [axis_time(self.axis, step, num_steps=num_steps, shift=self.axis_shift) for step in steps]
        time = axis_time(self.axis, target, num_steps=num_steps, shift=self.axis_shift)
        match self.method:
            case Method.SPECTRUM:
                # Without a penalty the fit needs as many snapshots as polynomials: lower the degree until there are.
                degree = self.degree if self.ridge > 0 else min(self.degree, len(times) - 1)
                return forecast_weights(
                    times,
                    time,
                    num_steps=num_steps,
                    degree=degree,
                    ridge=self.ridge,
                    blend=self.blend,
                    penalise_constant=self.penalise_constant,
                    half_life=self.half_life,
                )
            case Method.DAMPED:
                return damped_weights(times, time, damping=self.damping)
            case Method.TAYLOR | Method.SVD:
                return taylor_weights(times, time, order=self.order)
            case Method.ADAMS:
                return adams_weights(times, time, order=self.order)
            case Method.FOCA:
                return foca_weights(times, time)
            case Method.REUSE | Method.NONE:
                return reuse_weights(times, time)

    def _check_numbers(self) -> None:
        """Also those of other methods and plans than the one chosen: a slip of the pen is no wish."""
        for name in ("blend", "damping", "node_density"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1]")
        for name in ("degree", "order"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")
        if not (isfinite(self.ridge) and self.ridge >= 0):
            raise ValueError(f"ridge={self.ridge} must be a finite number of at least 0")
        for name in ("max_history", "max_gap", "rank", "num_full"):
            whole: int | None = getattr(self, name)
            if whole is not None and whole < 1:
                raise ValueError(f"{name}={whole} must be at least 1")
        for name in ("error_budget", "half_life", "axis_shift"):
            number: float | None = getattr(self, name)
            if number is not None and not (isfinite(number) and number > 0):
                raise ValueError(f"{name}={number} must be a finite number above 0")
        plan_rounds(1, warmup_steps=self.warmup_steps, window=self.window, growth=self.growth)
        if self.num_full != _NUM_FULL and self.plan_shape not in {PlanShape.UNIFORM, PlanShape.NODES}:
            raise ValueError(
                f"num_full={self.num_full} is for the plans uniform and nodes; plan_shape={self.plan_shape} has its "
                f"own full rounds{', fewer with a larger growth' if self.plan_shape is PlanShape.PAPER else ''}"
            )

    def _check_list(self) -> None:
        if self.plan_shape is not PlanShape.LIST:
            return
        if 0 not in self.full_steps:
            raise ValueError(
                f"full_steps={list(self.full_steps)} must hold step 0: there is nothing to forecast from"
            )

    def _check_budget(self) -> None:
        """The paper's plan may stand beside a budget: about as many full rounds are expected then."""
        if not self.is_adaptive:
            return
        if self.method is Method.SVD:
            raise ValueError(
                f"error_budget={self.error_budget} needs a linear method: what svd errs by is not known before it is "
                "rendered. Set error_budget to null, or take another method"
            )
        if self.plan_shape is not PlanShape.PAPER:
            raise ValueError(
                f"plan_shape={self.plan_shape} has its own full rounds, error_budget={self.error_budget} chooses "
                "others: set error_budget to null, or take plan_shape=paper"
            )

    def _check_calibration(self) -> None:
        is_needed = Method.CALIBRATED is self.method or PlanShape.CALIBRATED is self.plan_shape
        if is_needed and self.calibration is None:
            raise ValueError("calibration is not set: it comes with a file that orchestrator.calibrate has written")
        if self.method is not Method.CALIBRATED:
            return
        assert self.calibration is not None
        if not self.calibration.weights:
            raise ValueError("calibration has no weights, as method=calibrated needs")
        if self.plan_shape is not PlanShape.CALIBRATED:
            raise ValueError("method=calibrated has weights for its own plan alone: plan_shape must be calibrated")
        needed = self.calibration.num_snapshots
        if self.max_history is not None and self.max_history < needed:
            raise ValueError(
                f"max_history={self.max_history} must be at least {needed}, as the calibration's weights"
            )
