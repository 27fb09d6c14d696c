"""Clips as strips of frames under their captions, in one picture."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

GAP: Final = 4
LABEL_HEIGHT: Final = 14
FRAMES_SHOWN: Final = 6


def contact_sheet(videos: Sequence[NDArray[np.generic]], captions: Sequence[str], *, columns: int = 2) -> Image.Image:
    """Lay clips out in `columns`, each as six of its frames under its caption.

    Args:
        videos: clips of (frames, height, width, 3), all of one size, uint8 or floating point in 0..1.
        captions: one caption a clip.
        columns: clips side by side.
    """
    _, height, width, _ = videos[0].shape
    strip = FRAMES_SHOWN * (width + 1) - 1
    rows = -(-len(videos) // columns)
    cell_width, cell_height = strip + GAP, height + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * cell_width + GAP, rows * cell_height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (video, caption) in enumerate(zip(videos, captions, strict=True)):
        row, column = divmod(number, columns)
        left, top = GAP + column * cell_width, GAP + row * cell_height
        draw.text((left, top), caption, fill="black")
        for place, frame in enumerate(np.linspace(0, len(video) - 1, FRAMES_SHOWN).round().astype(int)):
            picture = Image.fromarray(_as_bytes(video[frame]))
            sheet.paste(picture, (left + place * (width + 1), top + LABEL_HEIGHT))
    return sheet


def _as_bytes(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    if frame.dtype == np.uint8:
        return frame.astype(np.uint8)
    return (frame.astype(np.float32) * 255.0).round().clip(0, 255).astype(np.uint8)
