"""FoCa's forecast: a BDF2 predictor, calibrated by Heun's rule (arXiv 2508.16211). A reconstruction.

The paper's formulas could not be read; its abstract calls features the solution of an ODE that is forecast, then
calibrated; the names of the two rules are from secondary sources. What stands here is both in textbook form.
"""

from collections.abc import Sequence

import torch

from spectrum.forecasters.times import check_times, line_weights


def foca_weights(times: Sequence[float], target: float) -> torch.Tensor:
    """Weights of the forecast ĥ(t), with Δ = t − t_K.

    The slope at t_K is that of the parabola through the last three snapshots (BDF2's own difference on uneven steps),

        f_K = d₁ + (d₁ − d₂)·g₁/(g₁ + g₂),    d₁ = (h_K − h_{K−1})/g₁,  d₂ = (h_{K−1} − h_{K−2})/g₂.

    Forecast: BDF2 for the step from t_K to t, ω = Δ/g₁, with f_K in place of the unknown slope at t,

        p = ((1 + ω)²·h_K − ω²·h_{K−1} + (1 + ω)·Δ·f_K) / (1 + 2ω).

    Calibrate: Heun's rule, the mean of the slope before and of the slope that the prediction implies,

        ĥ = h_K + Δ/2·(f_K + (p − h_K)/Δ) = (h_K + Δ·f_K + p)/2.

    Exact on straight lines. With two snapshots it is linear extrapolation, with one plain reuse.

    Args:
        times: of the K snapshots, strictly ascending.
        target: the time to forecast.

    Returns:
        float64 on the CPU, shape (K,). They sum to 1.

    Raises:
        ValueError: `times` is empty or not strictly ascending.
    """
    check_times(times)
    if len(times) < 3:
        return line_weights(times, target)
    one_KK = torch.eye(len(times), dtype=torch.float64)
    last, before, first = one_KK[-1], one_KK[-2], one_KK[-3]
    gap_1, gap_2, elapsed = times[-1] - times[-2], times[-2] - times[-3], target - times[-1]
    difference_1, difference_2 = (last - before) / gap_1, (before - first) / gap_2
    slope = difference_1 + (difference_1 - difference_2) * gap_1 / (gap_1 + gap_2)
    omega = elapsed / gap_1
    predicted = ((1 + omega) ** 2 * last - omega**2 * before + (1 + omega) * elapsed * slope) / (1 + 2 * omega)
    weights_K: torch.Tensor = (last + elapsed * slope + predicted) / 2
    return weights_K
