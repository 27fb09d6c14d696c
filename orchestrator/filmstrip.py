"""A picture of a whole video: a row of its frames with the prompt above."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

NUM_FRAMES = 6
_FRAME_HEIGHT = 192
_MARGIN = 12
_FONT_SIZE = 17
_LINES = 3
_ELLIPSIS = " …"
_BACKGROUND = (250, 250, 250)
_INK = (25, 25, 25)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_filmstrip(path: Path, frames_FHWC: NDArray[np.uint8], *, prompt: str) -> None:
    """Write a PNG of frames spread evenly over the video, first and last included, with the prompt above them.

    A prompt that is too long is cut with an ellipsis; the file's own "Description" text holds all of it, also
    what the font has no signs for.
    """
    strip = _row_of_frames(frames_FHWC)
    font = ImageFont.load_default(_FONT_SIZE)
    lines = _wrapped(prompt, font, width=strip.width - 2 * _MARGIN)
    line_height = _FONT_SIZE + 6
    top = _MARGIN + line_height * len(lines)
    sheet = Image.new("RGB", (strip.width, top + _MARGIN + strip.height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + index * line_height), line, fill=_INK, font=font)
    sheet.paste(strip, (0, top + _MARGIN))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Description", prompt)
    sheet.save(path, pnginfo=text)


def _row_of_frames(frames_FHWC: NDArray[np.uint8]) -> Image.Image:
    chosen = np.linspace(0, len(frames_FHWC) - 1, min(NUM_FRAMES, len(frames_FHWC))).round().astype(int)
    height, width = frames_FHWC.shape[1:3]
    size = (max(round(width * _FRAME_HEIGHT / height), 1), _FRAME_HEIGHT)
    resample = Image.Resampling.NEAREST if height < _FRAME_HEIGHT else Image.Resampling.LANCZOS
    row = Image.new("RGB", (len(chosen) * (size[0] + _MARGIN) + _MARGIN, size[1] + _MARGIN), _BACKGROUND)
    for column, frame in enumerate(frames_FHWC[chosen]):
        row.paste(Image.fromarray(frame).resize(size, resample), (_MARGIN + column * (size[0] + _MARGIN), 0))
    return row


def _wrapped(prompt: str, font: Font, *, width: int) -> list[str]:
    """The prompt in at most `_LINES` lines of at most `width` pixels, broken between words where that is possible."""
    lines = [""]
    for word in prompt.split():
        for part in _parts(word, font, width=width):
            longer = f"{lines[-1]} {part}".strip()
            if font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(part)
        if len(lines) > _LINES:
            last = lines[_LINES - 1]
            while last and font.getlength(last + _ELLIPSIS) > width:
                last = last[:-1]
            return [*lines[: _LINES - 1], last + _ELLIPSIS]
    return lines


def _parts(word: str, font: Font, *, width: int) -> Iterator[str]:
    """The word, cut where it alone is wider than a line."""
    part = ""
    for sign in word:
        if part and font.getlength(part + sign) > width:
            yield part
            part = ""
        part += sign
    yield part
