"""Write an mp4 that plays in a browser, the same bytes for the same frames."""

import errno
from collections.abc import Iterator
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

    Raises:
        OSError: the file was not written to its end, as on a full disk.
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
    _check_whole(path)


def _check_whole(path: Path) -> None:
    """The encoder says nothing if it breaks off: its file then has no index, or ends before its last box does."""
    boxes = list(_boxes(path))
    names = [name for name, _ in boxes]
    if b"moov" not in names or b"mdat" not in names or sum(size for _, size in boxes) != path.stat().st_size:
        raise OSError(errno.EIO, "the encoder did not come to its end: is the disk full?", str(path))


def _boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """Name and size in bytes of each box that an mp4 is made of, by what it says itself."""
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            size, name = int.from_bytes(head[:4]), head[4:8]
            if size == 1:  # the size stands behind the name, as it needs more than four bytes
                size = int.from_bytes(head[8:])
            yield name, size
            if size < 8:
                return
            file.seek(size - len(head), 1)
