"""Algebra on the inner products of snapshots: what a forecast errs by, without the features themselves.

A linear forecast Σₖ wₖhₖ of h has the squared error ‖h‖² − 2·Σₖ wₖ⟨hₖ, h⟩ + Σⱼₖ wⱼwₖ⟨hⱼ, hₖ⟩. The inner products
are sums over tokens: those of the ranks' slices and of both branches add up to the whole's.
"""

from collections.abc import Sequence
from math import isfinite, nan, sqrt

import torch


class Gram:
    """The inner products of the snapshots of a history, oldest first. K ≤ `capacity`, as in the history."""

    def __init__(self, capacity: int, matrix_KK: torch.Tensor | None = None) -> None:
        """Empty, or with the matrix (K, K), float64, of a history that has snapshots."""
        self._capacity = capacity
        self._matrix_KK = torch.zeros(0, 0, dtype=torch.float64) if matrix_KK is None else matrix_KK

    def __len__(self) -> int:
        return self._matrix_KK.shape[0]

    @property
    def matrix(self) -> torch.Tensor:
        """(K, K), float64 on the CPU, oldest first."""
        return self._matrix_KK

    def append(self, products: torch.Tensor) -> None:
        """Take in a new snapshot h, and drop the oldest if there is no room.

        Args:
            products: ⟨hₖ, h⟩ for the K snapshots, oldest first, and last ⟨h, h⟩: (K + 1,).
        """
        K = len(self)
        grown = torch.zeros(K + 1, K + 1, dtype=torch.float64)
        grown[:K, :K] = self._matrix_KK
        grown[K] = grown[:, K] = products
        self._matrix_KK = grown[-self._capacity :, -self._capacity :]

    def forecast_error(self, weights_K: torch.Tensor, products: torch.Tensor) -> float:
        """‖h − Σₖ wₖhₖ‖ / ‖h‖ for a new h, given as in `append`; 0 for h = 0, NaN where a product is not finite."""
        squared = squared_error(self._matrix_KK, products[:-1], products[-1], weights_K)
        return _root_of_ratio(float(squared), float(products[-1]))

    def distance(self, weights_K: torch.Tensor, others_K: torch.Tensor) -> float:
        """‖Σₖ wₖhₖ − Σₖ vₖhₖ‖ / ‖h_K‖: how far two forecasts from this history are apart."""
        difference_K = weights_K - others_K
        return _root_of_ratio(float(difference_K @ self._matrix_KK @ difference_K), float(self._matrix_KK[-1, -1]))


def squared_error(
    own_KK: torch.Tensor, products_K: torch.Tensor, norm: torch.Tensor, weights_K: torch.Tensor
) -> torch.Tensor:
    """‖h − Σₖ wₖhₖ‖² for a feature h, from the inner products ⟨hⱼ, hₖ⟩, ⟨hₖ, h⟩ and ⟨h, h⟩; a scalar, float64."""
    return norm - 2 * weights_K @ products_K + weights_K @ own_KK @ weights_K


def open_loop_errors(
    gram_TT: torch.Tensor, full_steps: Sequence[int], weights: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Squared errors of all forecasts of a plan, from the inner products of the features of all T steps.

    Open loop: the features are those of a video with all rounds full, which forecasts have not disturbed.

    Args:
        gram_TT: (T, T), float64.
        full_steps: ascending.
        weights: for each forecast step in order, those of the newest snapshots before it, oldest first.

    Returns:
        (T − len(full_steps),), float64.
    """
    full = set(full_steps)
    forecast_steps = [step for step in range(gram_TT.shape[0]) if step not in full]
    errors = []
    for step, weights_K in zip(forecast_steps, weights, strict=True):
        history = [earlier for earlier in full_steps if earlier < step][-len(weights_K) :]
        own_KK = gram_TT[history][:, history]
        errors.append(squared_error(own_KK, gram_TT[history, step], gram_TT[step, step], weights_K))
    return torch.stack(errors) if errors else torch.zeros(0, dtype=torch.float64)


def _root_of_ratio(squared: float, norm: float) -> float:
    """NaN where either is not finite: features that have overflowed must not look like a perfect forecast."""
    if norm == 0:
        return 0.0
    if not (isfinite(squared) and isfinite(norm)):
        return nan
    return sqrt(max(squared, 0.0) / norm)  # rounding may leave a difference of nearly equal numbers below zero
