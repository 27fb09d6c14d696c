"""Spectrum's forecast: a ridge regression on Chebyshev polynomials, as weights on the history.

Shapes: K snapshots in the history, M + 1 basis polynomials.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, sqrt

import torch


def chebyshev_basis(tau: torch.Tensor, degree: int) -> torch.Tensor:
    """T₀ … T_M at the times `tau`, by the recurrence Tₙ₊₁(τ) = 2τ·Tₙ(τ) − Tₙ₋₁(τ).

    Args:
        tau: times in [−1, 1], shape (K,).
        degree: M, at least 0.

    Returns:
        Shape (K, M + 1), of `tau`'s dtype.
    """
    columns = [torch.ones_like(tau), tau]
    while len(columns) <= degree:
        columns.append(2 * tau * columns[-1] - columns[-2])
    return torch.stack(columns[: degree + 1], dim=-1)


def forecast_weights(
    times: Sequence[float],
    target: float,
    *,
    num_steps: int,
    degree: int = 4,
    ridge: float = 0.1,
    blend: float = 1.0,
) -> torch.Tensor:
    """Weights of the history's K snapshots in Spectrum's forecast of step `target` (arXiv 2603.01623, §3).

    Each element h(τ) of the features is modelled as Σₘ cₘ·Tₘ(τ) over τ = 2·step/num_steps − 1, with

        c = (ΦᵀΦ + λI)⁻¹ Φᵀ H,    Φ of shape (K, M + 1), H of shape (K, elements),

    and forecast as ĥ = φ(τ*)ᵀ c. As c is linear in H, so is ĥ = wᵀH with w = Φ (ΦᵀΦ + λI)⁻¹ φ(τ*): K scalars
    that depend on the times alone. Solving for the coefficients of every element, on whichever rank holds it, gives
    the same forecast; hence each rank forecasts its slice with no communication.

    The blend is w_blend·Chebyshev + (1 − w_blend)·(linear extrapolation of the last two snapshots): 1 in the
    paper, 0.5 in the authors' video script.

    The normal equations are never formed (their condition number is the square of Φ's, which is 1e6 after a
    warm-up): w comes from the QR factors of the stacked matrix [Φ; √λ·I].

    Args:
        times: steps of the K snapshots, strictly ascending.
        target: the step to forecast.
        num_steps: denoising steps of the video; the time axis.
        degree: M, the highest polynomial.
        ridge: λ ≥ 0. At 0 the fit is plain least squares and needs K > M.
        blend: share of the Chebyshev forecast, in [0, 1].

    Returns:
        float64 on the CPU, shape (K,).

    Raises:
        ValueError: an argument is out of range; the message says which and what is allowed.
    """
    _check(times, num_steps=num_steps, degree=degree, ridge=ridge, blend=blend)
    steps_K = torch.tensor(list(times), dtype=torch.float64)
    basis_KM = chebyshev_basis(2 * steps_K / num_steps - 1, degree)
    target_M = chebyshev_basis(torch.tensor(2 * target / num_steps - 1, dtype=torch.float64), degree)
    stacked = torch.cat([basis_KM, sqrt(ridge) * torch.eye(degree + 1, dtype=torch.float64)])
    q, r = torch.linalg.qr(stacked)
    solved = torch.linalg.solve_triangular(r.mT, target_M[:, None], upper=False)
    weights_K: torch.Tensor = (q[: len(times)] @ solved).squeeze(1)
    if blend == 1:
        return weights_K
    return blend * weights_K + (1 - blend) * linear_weights(times, target)


def linear_weights(times: Sequence[float], target: float) -> torch.Tensor:
    """Weights of the straight line through the last two snapshots; of plain reuse where there is only one.

    Returns:
        float64 on the CPU, shape (K,).
    """
    weights_K = torch.zeros(len(times), dtype=torch.float64)
    if len(times) == 1:
        weights_K[-1] = 1.0
        return weights_K
    ratio = (target - times[-1]) / (times[-1] - times[-2])
    weights_K[-1] = 1.0 + ratio
    weights_K[-2] = -ratio
    return weights_K


def check_times(times: Sequence[float]) -> None:
    """Raises ValueError unless `times` holds at least one step, strictly ascending."""
    if not times:
        raise ValueError("times is empty: a forecast needs at least one snapshot")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError(f"times={list(times)} must be strictly ascending")


def _check(times: Sequence[float], *, num_steps: int, degree: int, ridge: float, blend: float) -> None:
    check_times(times)
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps} must be at least 1")
    if degree < 0:
        raise ValueError(f"degree={degree} must be at least 0")
    if not (isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge={ridge} must be a finite number of at least 0")
    if ridge == 0 and len(times) <= degree:
        raise ValueError(
            f"ridge=0 with degree={degree} needs at least {degree + 1} snapshots, got {len(times)}: "
            "raise ridge or lower degree"
        )
    if not 0 <= blend <= 1:
        raise ValueError(f"blend={blend} must lie in [0, 1]")
