"""The captioned clips: clip `index` of a `seed` is a pure function of the two, on every machine."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tiny_wan.architecture import HEIGHT, NUM_FRAMES, WIDTH
from tiny_wan.captions import Motion, Shape, Size, Spec, readable_pairs
from tiny_wan.shapes import Array, Track, Window, coverage, paint

TRAINING_SEED: Final = 1
HELD_OUT_SEED: Final = 2
EVALUATION_SEED: Final = 3

RADII: Final[dict[Size, tuple[float, float]]] = {Size.SMALL: (15.5, 17.5), Size.LARGE: (21.5, 24.0)}
"""Half the object's width at the middle of the clip, in pixels."""
GROWTH: Final = 0.25
"""A growing object goes from 1 - GROWTH to 1 + GROWTH of its middle size."""
TRAVEL: Final = (26.0, 34.0)
"""Pixels that a moving object covers between the first and the last frame."""
MARGIN: Final = 2.0
"""Pixels that always stay between the object and the picture's border."""

_DIRECTIONS: Final[dict[Motion, tuple[float, float]]] = {
    Motion.LEFT: (-1.0, 0.0),
    Motion.RIGHT: (1.0, 0.0),
    Motion.UP: (0.0, -1.0),
    Motion.DOWN: (0.0, 1.0),
}
_PAIRS: Final = readable_pairs()


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One captioned clip, before it is drawn."""

    spec: Spec
    track: Track

    def alpha(self, window: Window | None = None) -> Array:
        """The object's coverage of each pixel, (frames, side, side) in 0..1."""
        track = self.track
        return coverage(self.spec.shape, track.x, track.y, track.radius, window)

    def frames(self, window: Window | None = None) -> Array:
        """The clip's pixels, (frames, side, side, 3) in 0..1."""
        return paint(self.spec, self.alpha(window))


def draw_clip(seed: int, index: int) -> Clip:
    """Clip `index` of the endless data set `seed`."""
    rng = np.random.default_rng([seed, index])
    spec = draw_spec(rng)
    return Clip(spec=spec, track=draw_track(spec, rng))


def draw_spec(rng: np.random.Generator) -> Spec:
    """A spec with every part drawn evenly (colour and background as one of the readable pairs)."""
    colour, background = _PAIRS[int(rng.integers(len(_PAIRS)))]
    return Spec(
        size=list(Size)[int(rng.integers(len(Size)))],
        colour=colour,
        shape=list(Shape)[int(rng.integers(len(Shape)))],
        motion=list(Motion)[int(rng.integers(len(Motion)))],
        background=background,
    )


def draw_track(spec: Spec, rng: np.random.Generator) -> Track:
    """A track that does what the spec says and keeps the object inside the picture."""
    phase_F = np.linspace(-0.5, 0.5, NUM_FRAMES)
    radius = rng.uniform(*RADII[spec.size])
    growth = {Motion.GROWING: GROWTH, Motion.SHRINKING: -GROWTH}.get(spec.motion, 0.0)
    radius_F = radius * (1.0 + 2.0 * growth * phase_F)
    travel = rng.uniform(*TRAVEL)
    dx, dy = (travel * unit for unit in _DIRECTIONS.get(spec.motion, (0.0, 0.0)))
    reach = radius_F.max() + MARGIN
    spare_x, spare_y = WIDTH / 2 - reach - abs(dx) / 2, HEIGHT / 2 - reach - abs(dy) / 2
    x_F = WIDTH / 2 + rng.uniform(-spare_x, spare_x) + dx * phase_F
    y_F = HEIGHT / 2 + rng.uniform(-spare_y, spare_y) + dy * phase_F
    return Track(x=x_F.astype(np.float32), y=y_F.astype(np.float32), radius=radius_F.astype(np.float32))


def draw_window(clip: Clip, side: int, rng: np.random.Generator) -> Window:
    """A window of `side` pixels with a piece of the object's outline in it, anywhere in the picture.

    Windows start at multiples of 8 pixels, so that a crop of the picture is a crop of the latents.
    """
    frame = int(rng.integers(NUM_FRAMES))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    reach = clip.track.radius[frame] * rng.uniform(0.3, 1.1)
    x = clip.track.x[frame] + reach * np.cos(angle)
    y = clip.track.y[frame] + reach * np.sin(angle)
    left = np.clip(8 * round(float(x - rng.uniform(0.2, 0.8) * side) / 8), 0, WIDTH - side)
    top = np.clip(8 * round(float(y - rng.uniform(0.2, 0.8) * side) / 8), 0, HEIGHT - side)
    return Window(top=int(top), left=int(left), side=side)
