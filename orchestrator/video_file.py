"""Write an mp4 that plays in a browser, the same bytes for the same frames."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

_CONSTANT_RATE_FACTOR = 16
"""x264's quality: 0 is lossless, 23 its default, 16 about invisible."""


def write_video(path: Path, frames_FHWC: NDArray[np.uint8], *, fps: int) -> None:
    """Encode frames as H.264 in 4:2:0 with the index in front, so that a browser can begin before the end is there.

    Args:
        path: an .mp4.
        frames_FHWC: (frames, height, width, 3), 0 to 255; height and width even.
        fps: frames per second.
    """
    imageio.imwrite(
        path,
        frames_FHWC,
        plugin="FFMPEG",
        fps=fps,
        codec="libx264",
        pixelformat="yuv420p",
        quality=None,
        macro_block_size=None,
        # One thread and no writer's marks: the file is a function of the frames alone.
        output_params=[
            *("-crf", str(_CONSTANT_RATE_FACTOR), "-preset", "medium", "-threads", "1"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart"),
        ],
    )
