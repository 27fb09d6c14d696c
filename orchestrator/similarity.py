"""How alike two videos are."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

IDENTICAL_DB = 100.0
"""PSNR given to videos without a difference, which have none."""


def psnr(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in decibels over all frames together, at most `IDENTICAL_DB`."""
    if np.array_equal(reference, other):
        return IDENTICAL_DB
    return min(float(peak_signal_noise_ratio(reference, other, data_range=255)), IDENTICAL_DB)


def ssim(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Structural similarity, the mean over the frames; arrays of (frames, height, width, 3)."""
    values = [
        structural_similarity(one, two, channel_axis=-1, data_range=255)
        for one, two in zip(reference, other, strict=True)
    ]
    return float(np.mean(values))
