"""PrediT's forecast: a linear multistep method on the features (arXiv 2602.18093). A reconstruction.

The paper's formulas could not be read; its abstract says that feature prediction is put as a linear multistep problem
(Adams–Bashforth predictor, Adams–Moulton corrector in high-dynamics regions, step modulation). What stands here is
the predictor, in its textbook form on uneven times; the plan takes the part of the step modulation.
"""

from collections.abc import Sequence

import torch

from spectrum.forecasters.times import check_times


def adams_weights(times: Sequence[float], target: float, *, order: int = 2) -> torch.Tensor:
    """Weights of ĥ(t) = h_K + ∫ p(s) ds over [t_K, t], p the polynomial through the last `order` slopes.

    The features are taken as the solution of dh/dt = f. The values of f are the backward differences

        f_k = (h_k − h_{k−1}) / (t_k − t_{k−1})     at t_k,

    and p interpolates the last `order` of them (Adams–Bashforth; Hairer, Nørsett and Wanner, Solving Ordinary
    Differential Equations I, §III.1 and §III.5 for uneven steps). Order 1 is linear extrapolation. Where the history
    has fewer than order + 1 snapshots the highest order that they allow is used.

    Args:
        times: of the K snapshots, strictly ascending.
        target: the time to forecast.
        order: number of slopes, at least 1.

    Returns:
        float64 on the CPU, shape (K,). They sum to 1.

    Raises:
        ValueError: `order` is below 1, or `times` is empty or not strictly ascending.
    """
    check_times(times)
    if order < 1:
        raise ValueError(f"order={order} must be at least 1")
    weights_K = torch.zeros(len(times), dtype=torch.float64)
    weights_K[-1] = 1.0
    num_slopes = min(order, len(times) - 1)
    if num_slopes == 0:
        return weights_K
    nodes = torch.tensor(list(times[-num_slopes:]), dtype=torch.float64) - times[-1]
    # Σᵢ βᵢ·nodesᵢʲ = ∫₀ᵉ sʲ ds = eʲ⁺¹/(j+1) for j = 0 … num_slopes − 1: exact for the polynomials.
    powers = torch.arange(num_slopes, dtype=torch.float64)
    elapsed = float(target - times[-1])
    moments = elapsed ** (powers + 1) / (powers + 1)
    betas = torch.linalg.solve(nodes[None, :] ** powers[:, None], moments)
    for slope, beta in enumerate(betas.tolist(), start=len(times) - num_slopes):
        rate = beta / (times[slope] - times[slope - 1])
        weights_K[slope] += rate
        weights_K[slope - 1] -= rate
    return weights_K
