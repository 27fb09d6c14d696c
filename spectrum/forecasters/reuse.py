"""Plain reuse of the last full round's features: the simplest forecast."""

from collections.abc import Sequence

import torch

from spectrum.forecasters.times import check_times


def reuse_weights(times: Sequence[float], target: float) -> torch.Tensor:
    """ĥ(target) = h_K: all weight on the newest snapshot, whatever the target.

    Returns:
        float64 on the CPU, shape (K,).

    Raises:
        ValueError: `times` is empty or not strictly ascending.
    """
    check_times(times)
    weights_K = torch.zeros(len(times), dtype=torch.float64)
    weights_K[-1] = 1.0
    return weights_K
