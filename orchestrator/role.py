"""What a video is rendered for."""

from enum import StrEnum


class Role(StrEnum):
    """Whether a video is one of the batch, or there to compare one with."""

    BATCH = "batch"  # it was asked for
    REFERENCE = "reference"  # a video of the batch with all rounds full
    NOISE_FLOOR = "noise floor"  # a reference with other rounding
