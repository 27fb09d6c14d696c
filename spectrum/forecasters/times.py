"""What all forecasters share: the times of a history, and the straight line through its end.

A linear forecaster is a pure function from the times of the history's K snapshots, strictly ascending, and a target
time to K float64 weights; the forecast is Σₖ wₖ·hₖ.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

LinearForecaster = Callable[[Sequence[float], float], torch.Tensor]
"""(times of the K snapshots, target time) → weights of shape (K,), float64 on the CPU."""


def check_times(times: Sequence[float]) -> None:
    """Raises ValueError unless `times` holds at least one step, strictly ascending."""
    if not times:
        raise ValueError("times is empty: a forecast needs at least one snapshot")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError(f"times={list(times)} must be strictly ascending")


def line_weights(times: Sequence[float], target: float, *, damping: float = 1.0) -> torch.Tensor:
    """Weights of ĥ(t) = h_K + γ·(t − t_K)·(h_K − h_{K−1})/(t_K − t_{K−1}); of plain reuse where K is 1.

    Args:
        times: of the K snapshots, strictly ascending.
        target: the time to forecast.
        damping: γ. At 1 the straight line through the last two snapshots, at 0 plain reuse.

    Returns:
        float64 on the CPU, shape (K,).
    """
    weights_K = torch.zeros(len(times), dtype=torch.float64)
    if len(times) == 1:
        weights_K[-1] = 1.0
        return weights_K
    ratio = damping * (target - times[-1]) / (times[-1] - times[-2])
    weights_K[-1] = 1.0 + ratio
    weights_K[-2] = -ratio
    return weights_K
