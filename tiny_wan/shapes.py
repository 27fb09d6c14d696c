"""Signed distance fields of the shapes, and the windows of clips drawn from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tiny_wan.architecture import HEIGHT, NUM_FRAMES, WIDTH
from tiny_wan.captions import BACKGROUNDS, COLOURS, Shape, Spec

Array = NDArray[np.float32]
Distance = Callable[[Array, Array, Array], Array]

SQUARE_HALF_SIDE: Final = 0.88
CROSS_HALF_WIDTH: Final = 0.34
RING_MIDDLE, RING_HALF_WIDTH = 0.74, 0.26


def _circle(x: Array, y: Array, r: Array) -> Array:
    return np.asarray(np.hypot(x, y) - r, dtype=np.float32)


def _box(x: Array, y: Array, half_width: Array, half_height: Array) -> Array:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _square(x: Array, y: Array, r: Array) -> Array:
    return _box(x, y, SQUARE_HALF_SIDE * r, SQUARE_HALF_SIDE * r)


def _cross(x: Array, y: Array, r: Array) -> Array:
    thin = CROSS_HALF_WIDTH * r
    return np.minimum(_box(x, y, r, thin), _box(x, y, thin, r))


def _ring(x: Array, y: Array, r: Array) -> Array:
    distance = np.abs(_circle(x, y, RING_MIDDLE * r)) - RING_HALF_WIDTH * r
    return np.asarray(distance, dtype=np.float32)


def _triangle(x: Array, y: Array, r: Array) -> Array:
    """Isosceles triangle, apex up, that fills the box of half side `r`."""
    slope = 1.0 / math.sqrt(5.0)
    sides = (2.0 * np.abs(x) - y - r) * slope
    return np.asarray(np.maximum(sides, y - r), dtype=np.float32)


DISTANCES: Final[dict[Shape, Distance]] = {
    Shape.CIRCLE: _circle,
    Shape.SQUARE: _square,
    Shape.TRIANGLE: _triangle,
    Shape.CROSS: _cross,
    Shape.RING: _ring,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A square part of the picture: its top left corner and its side, in pixels."""

    top: int = 0
    left: int = 0
    side: int = HEIGHT


def coverage(shape: Shape, x_F: Array, y_F: Array, radius_F: Array, window: Window | None = None) -> Array:
    """How much of each pixel the object covers, 0..1, anti-aliased over one pixel.

    Args:
        shape: outline of the object.
        x_F: centre of the object in each frame, in pixels from the left.
        y_F: the same from the top.
        radius_F: half the object's width in pixels.
        window: part of the picture to draw; all of it by default.

    Returns:
        Array of (frames, side, side).
    """
    window = window or Window()
    grid = np.arange(window.side, dtype=np.float32) + np.float32(0.5)
    x_FHW = (grid[None, None, :] + np.float32(window.left)) - x_F[:, None, None]
    y_FHW = (grid[None, :, None] + np.float32(window.top)) - y_F[:, None, None]
    distance = DISTANCES[shape](x_FHW, y_FHW, radius_F[:, None, None])
    return np.asarray(np.clip(np.float32(0.5) - distance, 0.0, 1.0), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """Where the object is in each frame and half its width, each (frames,) in pixels."""

    x: Array
    y: Array
    radius: Array

    def __post_init__(self) -> None:
        assert self.x.shape == self.y.shape == self.radius.shape == (NUM_FRAMES,)


def paint(spec: Spec, alpha_FHW: Array) -> Array:
    """Colour a coverage mask: object over background.

    Returns:
        Frames of (frames, side, side, 3) in 0..1.
    """
    front = np.asarray(COLOURS[spec.colour], dtype=np.float32) / 255.0
    back = np.asarray(BACKGROUNDS[spec.background], dtype=np.float32) / 255.0
    return (back + alpha_FHW[..., None] * (front - back)).astype(np.float32)


assert HEIGHT == WIDTH, "windows are square"
