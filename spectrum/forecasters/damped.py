"""A damped straight line: between plain reuse and linear extrapolation."""

from collections.abc import Sequence

import torch

from spectrum.forecasters.times import check_times, line_weights


def damped_weights(times: Sequence[float], target: float, *, damping: float = 0.5) -> torch.Tensor:
    """Weights of ĥ(t) = h_K + γ·(t − t_K)·(h_K − h_{K−1})/(t_K − t_{K−1}).

    Damping trades bias for variance: the slope of the last two snapshots carries their noise, and an error in a
    forecast comes back through the latents. Damped trends are due to Gardner and McKenzie (1985); here the damping
    does not compound with the horizon.

    Args:
        times: of the K snapshots, strictly ascending.
        target: the time to forecast.
        damping: γ in [0, 1]. At 1 the straight line, at 0 plain reuse.

    Returns:
        float64 on the CPU, shape (K,). They sum to 1.

    Raises:
        ValueError: `damping` lies outside [0, 1], or `times` is empty or not strictly ascending.
    """
    check_times(times)
    if not 0 <= damping <= 1:
        raise ValueError(f"damping={damping} must lie in [0, 1]")
    return line_weights(times, target, damping=damping)
