"""Spectrum's forecast: a ridge regression on Chebyshev polynomials, as weights on the history.

Shapes: K snapshots in the history, M + 1 basis polynomials.
"""

from collections.abc import Sequence
from math import isfinite, sqrt

import torch

from spectrum.forecasters.times import check_times, line_weights


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
    num_steps: float,
    degree: int = 4,
    ridge: float = 0.1,
    blend: float = 1.0,
    penalise_constant: bool = True,
    half_life: float | None = None,
) -> torch.Tensor:
    """Weights of the history's K snapshots in Spectrum's forecast of time `target` (arXiv 2603.01623, §3).

    Each element h(τ) of the features is modelled as Σₘ cₘ·Tₘ(τ) over τ = 2·time/num_steps − 1, with

        c = (ΦᵀΦ + λI)⁻¹ Φᵀ H,    Φ of shape (K, M + 1), H of shape (K, elements),

    and forecast as ĥ = φ(τ*)ᵀ c. As c is linear in H, so is ĥ = wᵀH with w = Φ (ΦᵀΦ + λI)⁻¹ φ(τ*): K scalars
    that depend on the times alone. Solving for the coefficients of every element, on whichever rank holds it, gives
    the same forecast; hence each rank forecasts its slice with no communication.

    The blend is w_blend·Chebyshev + (1 − w_blend)·(linear extrapolation of the last two snapshots): 1 in the
    paper, 0.5 in the authors' video script.

    Two switches that the paper has not. `penalise_constant=False` leaves the constant term out of the penalty, by
    fitting differences to the newest snapshot: the weights then sum to 1, where the paper's sum to 0.73 at the end
    of its longest gap. `half_life` weights the squared residual of the snapshot that is j full rounds old by
    2^(−j/half_life).

    The normal equations are never formed (their condition number is the square of Φ's, which is 1e6 after a
    warm-up): w comes from the QR factors of the stacked matrix [√W·Φ; √λ·I].

    Args:
        times: of the K snapshots, strictly ascending; their steps, in the paper.
        target: the time to forecast.
        num_steps: length of the time axis; denoising steps of the video, in the paper.
        degree: M, the highest polynomial.
        ridge: λ ≥ 0. At 0 the fit is plain least squares and needs K > M.
        blend: share of the Chebyshev forecast, in [0, 1].
        penalise_constant: as in the paper.
        half_life: of a snapshot's weight in the fit, in full rounds; None weights all alike, as the paper does.

    Returns:
        float64 on the CPU, shape (K,).

    Raises:
        ValueError: an argument is out of range; the message says which and what is allowed.
    """
    _check(times, num_steps=num_steps, degree=degree, ridge=ridge, blend=blend, half_life=half_life)
    basis_KM = chebyshev_basis(2 * torch.tensor(list(times), dtype=torch.float64) / num_steps - 1, degree)
    target_M = chebyshev_basis(torch.tensor(2 * target / num_steps - 1, dtype=torch.float64), degree)
    if penalise_constant:
        weights_K = _ridge_weights(basis_KM, target_M, ridge, _recency(len(times), half_life))
    else:
        # h − h_K on Tₘ(τ) − Tₘ(τ_K), m ≥ 1: whatever is constant cancels, and the newest snapshot is kept as it is.
        newest_M = basis_KM[-1]
        weights_K = _ridge_weights(
            (basis_KM - newest_M)[:, 1:], (target_M - newest_M)[1:], ridge, _recency(len(times), half_life)
        )
        weights_K[-1] += 1 - weights_K.sum()
    if blend == 1:
        return weights_K
    return blend * weights_K + (1 - blend) * line_weights(times, target)


def _ridge_weights(
    basis_KM: torch.Tensor, target_M: torch.Tensor, ridge: float, recency_K: torch.Tensor
) -> torch.Tensor:
    num_bases = basis_KM.shape[1]
    root_K = recency_K.sqrt()
    stacked = torch.cat([root_K[:, None] * basis_KM, sqrt(ridge) * torch.eye(num_bases, dtype=torch.float64)])
    q, r = torch.linalg.qr(stacked)
    solved = torch.linalg.solve_triangular(r.mT, target_M[:, None], upper=False)
    weights_K: torch.Tensor = root_K * (q[: len(root_K)] @ solved).squeeze(1)
    return weights_K


def _recency(num_snapshots: int, half_life: float | None) -> torch.Tensor:
    if half_life is None:
        return torch.ones(num_snapshots, dtype=torch.float64)
    ages_K = torch.arange(num_snapshots - 1, -1, -1, dtype=torch.float64)
    return torch.exp2(-ages_K / half_life)


def _check(
    times: Sequence[float],
    *,
    num_steps: float,
    degree: int,
    ridge: float,
    blend: float,
    half_life: float | None,
) -> None:
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
    if half_life is not None and not (isfinite(half_life) and half_life > 0):
        raise ValueError(f"half_life={half_life} must be a finite number above 0")
