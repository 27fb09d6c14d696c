"""Which forecaster and which plan: the one object that the trunk and the render engine share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from spectrum.chebyshev import forecast_weights
from spectrum.plan import Plan, Round, plan_rounds
from spectrum.reuse import reuse_weights
from spectrum.taylor import taylor_weights


class Method(StrEnum):
    """How the features of a forecast round are extrapolated."""

    SPECTRUM = "spectrum"  # Chebyshev polynomials fitted by ridge regression, blended with a straight line
    TAYLOR = "taylor"  # finite-difference Taylor series (TaylorSeer)
    REUSE = "reuse"  # the last full round's features as they are
    NONE = "none"  # every round is full


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastSettings:
    """Settings of the forecaster. The defaults are the paper's.

    Raises:
        ValueError: a setting is out of range; the message says which and what is allowed.
    """

    method: Method = Method.SPECTRUM
    """How features are extrapolated."""
    warmup_steps: int = 5
    """Full rounds at the start."""
    window: float = 2.0
    """First gap between full rounds after the warm-up, in steps."""
    growth: float = 0.75
    """How much each later gap is wider, in steps: the paper's α. 0.75 → 14 of 50 rounds full, 3 → 10."""
    degree: int = 4
    """Highest Chebyshev polynomial, the paper's M (method spectrum)."""
    ridge: float = 0.1
    """Ridge penalty, the paper's λ (method spectrum)."""
    blend: float = 1.0
    """Share of the Chebyshev forecast; the rest is linear extrapolation (method spectrum)."""
    order: int = 1
    """Highest derivative (method taylor)."""

    def __post_init__(self) -> None:
        if self.method not in tuple(Method):
            raise ValueError(f"method={self.method!r} must be one of: {', '.join(Method)}")
        object.__setattr__(self, "method", Method(self.method))  # a plain string is as good
        self.plan(1)
        self.weights([0], 1, num_steps=2)

    def plan(self, num_steps: int) -> Plan:
        """The rounds of a video of `num_steps` denoising steps."""
        if self.method is Method.NONE:
            return Plan((Round.FULL,) * num_steps)
        return plan_rounds(num_steps, warmup_steps=self.warmup_steps, window=self.window, growth=self.growth)

    def weights(self, times: Sequence[float], target: float, *, num_steps: int) -> torch.Tensor:
        """Weights of the K snapshots at steps `times` in the forecast of step `target`.

        Returns:
            float64 on the CPU, shape (K,).
        """
        match self.method:
            case Method.SPECTRUM:
                # Without a penalty the fit needs as many snapshots as polynomials: lower the degree until there are.
                degree = self.degree if self.ridge > 0 else min(self.degree, len(times) - 1)
                return forecast_weights(
                    times, target, num_steps=num_steps, degree=degree, ridge=self.ridge, blend=self.blend
                )
            case Method.TAYLOR:
                return taylor_weights(times, target, order=self.order)
            case Method.REUSE | Method.NONE:
                return reuse_weights(times, target)
