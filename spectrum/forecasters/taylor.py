"""TaylorSeer's forecast: a Taylor series with finite differences for derivatives (arXiv 2503.06923)."""

from collections.abc import Sequence
from math import factorial

import torch

from spectrum.forecasters.times import check_times


def taylor_weights(times: Sequence[float], target: float, *, order: int) -> torch.Tensor:
    """Weights of the history in ĥ(target) = Σᵢ Δⁱh_K · (target − t_K)ⁱ / i!, i = 0 … order.

    The differences are TaylorSeer's, each divided by the gap before the snapshot it belongs to,

        Δ⁰h_k = h_k,    Δⁱh_k = (Δⁱ⁻¹h_k − Δⁱ⁻¹h_{k−1}) / (t_k − t_{k−1}),

    which is exact on straight lines from order 1 on. It is not exact on parabolas at order 2: Δ¹h_K is the slope
    half a gap before t_K, and uneven gaps bend Δ² as well. With fewer than order + 1 snapshots the highest order
    that they allow is used, as TaylorSeer does.

    Args:
        times: steps of the K snapshots, strictly ascending.
        target: the step to forecast.
        order: highest derivative, at least 0 (0 is plain reuse).

    Returns:
        float64 on the CPU, shape (K,).

    Raises:
        ValueError: `order` is negative, or `times` is empty or not strictly ascending.
    """
    check_times(times)
    if order < 0:
        raise ValueError(f"order={order} must be at least 0")
    num_snapshots = len(times)
    # Row k holds the weights of Δⁱh_k on the history; rows below i are undefined and not read.
    difference_KK = torch.eye(num_snapshots, dtype=torch.float64)
    gaps_K = torch.ones(num_snapshots, dtype=torch.float64)
    gaps_K[1:] = torch.tensor(list(times), dtype=torch.float64).diff()
    weights_K = difference_KK[-1].clone()
    offset = target - times[-1]
    for i in range(1, min(order, num_snapshots - 1) + 1):
        difference_KK[1:] = (difference_KK[1:] - difference_KK[:-1]) / gaps_K[1:, None]
        weights_K += difference_KK[-1] * offset**i / factorial(i)
    return weights_K
