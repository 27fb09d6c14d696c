"""What a forecaster takes for time: the step, as the paper does, or how much noise is left."""

from enum import StrEnum
from math import log


class TimeAxis(StrEnum):
    """The variable in which features are extrapolated."""

    STEP = "step"  # the index of the denoising step
    SIGMA = "sigma"  # the share of noise in the latents
    LOG_SNR = "log_snr"  # logarithm of the ratio of signal to noise


def axis_time(axis: TimeAxis, step: float, *, num_steps: int, shift: float) -> float:
    """The time of `step` on `axis`, scaled so that the video's first step is at 0 and its end at `num_steps`.

    The noise of step i of T is that of flow matching with a shift s (Esser et al. 2024, arXiv 2403.03206, eq. 23),

        σ = s·u / (1 + (s − 1)·u),    u = 1 − i/T.

    log((1 − σ)/σ) is infinite at both ends; there σ is taken half a step inside.

    Args:
        axis: what to take for time.
        step: i, in [0, T].
        num_steps: T.
        shift: s; the pipeline's flow shift.
    """
    if axis is TimeAxis.STEP:
        return step

    def value(u: float) -> float:
        sigma = shift * u / (1 + (shift - 1) * u)
        return -sigma if axis is TimeAxis.SIGMA else log((1 - sigma) / sigma)

    margin = 0.0 if axis is TimeAxis.SIGMA else 0.5 / num_steps
    begin, end = value(1 - margin), value(margin)
    u = min(max(1 - step / num_steps, margin), 1 - margin)
    return num_steps * (value(u) - begin) / (end - begin)
