"""Does a clip show what its caption says? Plain image measurement, nothing learned.

The background is the median colour of the picture's border; the object is what differs from it. Colours are the
nearest named ones, the shape is the one whose template overlaps the object best, and the motion is read off the
object's centre and area over time.
"""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tiny_wan.captions import BACKGROUNDS, COLOURS, RGB, Motion, Shape, Size, Spec, parse_caption
from tiny_wan.dataset import RADII
from tiny_wan.shapes import Array, Window, coverage

BORDER: Final = 2
"""Pixels of the border that are taken for background."""
MINIMUM_DIFFERENCE: Final = 0.12
"""RGB distance (0..1.73) below which nothing is seen in front of the background."""
MINIMUM_AREA: Final = 40.0
"""Pixels below which there is no object."""
MINIMUM_TRAVEL: Final = 10.0
"""Pixels between first and last frame from which on an object moves (clips move 26 or more)."""
MINIMUM_GROWTH: Final = 0.35
"""Change of the logarithm of the area from which on an object grows or shrinks (clips change by 1.0)."""
SCALES: Final = (0.92, 1.0, 1.08)
"""Template sizes that are tried around the one whose area agrees with the object's."""
_REFERENCE_RADIUS: Final = 24.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a clip shows; None where nothing is to be seen."""

    background: str
    colour: str | None = None
    shape: Shape | None = None
    motion: Motion | None = None
    size: Size | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """Which parts of a caption a clip gets right."""

    background: bool
    colour: bool
    shape: bool
    motion: bool
    size: bool

    @property
    def everything(self) -> bool:
        """Background, colour, shape, motion and size are all right."""
        return all(asdict(self).values())


def score(frames: NDArray[np.generic], caption: str | Spec) -> Marks:
    """Mark a clip against a caption.

    Args:
        frames: pixels of (frames, height, width, 3), uint8 in 0..255 or floating point in 0..1.
        caption: a caption of the template, or its spec.

    Raises:
        ValueError: `frames` has another shape, or the caption does not follow the template.
    """
    spec = parse_caption(caption) if isinstance(caption, str) else caption
    reading = read(frames)
    return Marks(
        background=reading.background == spec.background,
        colour=reading.colour == spec.colour,
        shape=reading.shape == spec.shape,
        motion=reading.motion == spec.motion,
        size=reading.size == spec.size,
    )


def read(frames: NDArray[np.generic]) -> Reading:
    """What a clip shows, measured on its pixels."""
    pixels = _as_float(frames)
    backdrop = _border_colour(pixels)
    background = _nearest(backdrop, BACKGROUNDS)
    difference_FHW = np.linalg.norm(pixels - backdrop, axis=-1)
    peak = float(np.quantile(difference_FHW, 0.98))
    if peak < MINIMUM_DIFFERENCE:
        return Reading(background=background)
    front = np.median(pixels[difference_FHW > 0.75 * peak], axis=0)
    alpha_FHW = _alpha(pixels, backdrop, front)
    area_F = alpha_FHW.sum(axis=(1, 2))
    if area_F.min() < MINIMUM_AREA:
        return Reading(background=background, colour=_nearest(front, COLOURS))
    x_F, y_F = _centres(alpha_FHW, area_F)
    shape, radius = _best_shape(alpha_FHW, area_F, x_F, y_F)
    return Reading(
        background=background,
        colour=_nearest(front, COLOURS),
        shape=shape,
        motion=_motion(x_F, y_F, area_F),
        size=Size.SMALL if radius < (RADII[Size.SMALL][1] + RADII[Size.LARGE][0]) / 2 else Size.LARGE,
    )


def _as_float(frames: NDArray[np.generic]) -> Array:
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be (frames, height, width, 3), got {frames.shape}")
    scale = 255.0 if frames.dtype == np.uint8 else 1.0
    return (frames.astype(np.float32) / scale).astype(np.float32)


def _border_colour(pixels: Array) -> Array:
    strips = (pixels[:, :BORDER], pixels[:, -BORDER:], pixels[:, :, :BORDER], pixels[:, :, -BORDER:])
    pixels_N3 = np.concatenate([strip.reshape(-1, 3) for strip in strips])
    return np.asarray(np.median(pixels_N3, axis=0), dtype=np.float32)


def _nearest(colour: Array, names: dict[str, RGB]) -> str:
    return min(names, key=lambda name: float(np.linalg.norm(colour - np.asarray(names[name]) / 255.0)))


def _alpha(pixels: Array, backdrop: Array, front: Array) -> Array:
    """How far each pixel is on the way from the backdrop to the object's colour, 0..1, dim pixels left out."""
    axis = front - backdrop
    alpha = np.clip((pixels - backdrop) @ axis / float(axis @ axis), 0.0, 1.0)
    return np.where(alpha > 0.25, alpha, 0.0).astype(np.float32)


def _centres(alpha_FHW: Array, area_F: Array) -> tuple[Array, Array]:
    _, height, width = alpha_FHW.shape
    x_F = alpha_FHW.sum(axis=1) @ (np.arange(width) + 0.5) / area_F
    y_F = alpha_FHW.sum(axis=2) @ (np.arange(height) + 0.5) / area_F
    return x_F.astype(np.float32), y_F.astype(np.float32)


def _change(values_F: Array) -> float:
    """How much a quantity changes from the first to the last frame, by a straight line through all."""
    time_F = np.linspace(-0.5, 0.5, len(values_F))
    return float(time_F @ values_F / (time_F @ time_F))


def _motion(x_F: Array, y_F: Array, area_F: Array) -> Motion:
    growth = _change(np.log(area_F))
    if abs(growth) > MINIMUM_GROWTH:
        return Motion.GROWING if growth > 0 else Motion.SHRINKING
    dx, dy = _change(x_F), _change(y_F)
    if max(abs(dx), abs(dy)) < MINIMUM_TRAVEL:
        return Motion.STILL
    if abs(dx) > abs(dy):
        return Motion.RIGHT if dx > 0 else Motion.LEFT
    return Motion.DOWN if dy > 0 else Motion.UP


def _best_shape(alpha_FHW: Array, area_F: Array, x_F: Array, y_F: Array) -> tuple[Shape, float]:
    """The shape that overlaps the object best over all frames, and its mean radius in pixels."""
    best = (-1.0, Shape.CIRCLE, 0.0)
    side = alpha_FHW.shape[-1]
    if alpha_FHW.shape[-2] != side:
        raise ValueError(f"frames must be square, got {alpha_FHW.shape[-2]}x{side}")
    for shape, (area, offset) in _MEASURES.items():
        for scale in SCALES:
            radius_F = (scale * np.sqrt(area_F / area)).astype(np.float32)
            template = _template(shape, x_F, y_F - offset * radius_F, radius_F, side)
            overlap = float(np.minimum(template, alpha_FHW).sum() / np.maximum(template, alpha_FHW).sum())
            best = max(best, (overlap, shape, float(radius_F.mean())))
    return best[1], best[2]


def _template(shape: Shape, x_F: Array, y_F: Array, radius_F: Array, side: int) -> Array:
    return coverage(shape, x_F, y_F.astype(np.float32), radius_F, Window(side=side))


def _measure(shape: Shape) -> tuple[float, float]:
    """Area of a shape of radius 1, and how far below the shape's middle its centre of mass lies."""
    middle = np.asarray([48.0], dtype=np.float32)
    mask = coverage(shape, middle, middle, np.asarray([_REFERENCE_RADIUS], dtype=np.float32))
    area = mask.sum(axis=(1, 2))
    _, y = _centres(mask, area)
    return float(area[0]) / _REFERENCE_RADIUS**2, (float(y[0]) - 48.0) / _REFERENCE_RADIUS


_MEASURES: Final = {shape: _measure(shape) for shape in Shape}
