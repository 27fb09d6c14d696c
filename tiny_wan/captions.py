"""The words of the tiny world: what a clip may show, and how a caption says it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (225, 35, 35),
    "green": (40, 180, 60),
    "blue": (45, 85, 235),
    "yellow": (245, 225, 50),
    "purple": (150, 50, 205),
    "cyan": (50, 215, 225),
    "white": (248, 248, 248),
    "orange": (250, 140, 30),
}

BACKGROUNDS: dict[str, RGB] = {
    "black": (12, 12, 12),
    "dark blue": (15, 20, 80),
    "dark red": (85, 15, 20),
    "dark green": (10, 65, 25),
    "grey": (118, 118, 122),
    "light blue": (175, 205, 245),
    "light pink": (245, 190, 205),
}

MINIMUM_CONTRAST = 100.0
"""Smallest RGB distance (of 0..441) between an object and its background in the training data."""


class Shape(StrEnum):
    """Outline of the one object of a clip."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    CROSS = "cross"
    RING = "ring"


class Size(StrEnum):
    """How large the object is at the middle of the clip."""

    SMALL = "small"
    LARGE = "large"


class Motion(StrEnum):
    """What the object does; the value is the phrase that says so."""

    LEFT = "moving left"
    RIGHT = "moving right"
    UP = "moving up"
    DOWN = "moving down"
    GROWING = "growing"
    SHRINKING = "shrinking"
    STILL = "standing still"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Everything that a caption says about a clip."""

    size: Size
    colour: str
    shape: Shape
    motion: Motion
    background: str

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise ValueError(f"colour must be one of {sorted(COLOURS)}, got {self.colour!r}")
        if self.background not in BACKGROUNDS:
            raise ValueError(f"background must be one of {sorted(BACKGROUNDS)}, got {self.background!r}")

    @property
    def caption(self) -> str:
        """The sentence the text encoder reads, e.g. "a large red circle growing on a grey background"."""
        return f"a {self.size} {self.colour} {self.shape} {self.motion} on a {self.background} background"


def parse_caption(caption: str) -> Spec:
    """Read a caption back into its spec.

    Raises:
        ValueError: the caption does not follow the template of `Spec.caption`.
    """
    template = "a SIZE COLOUR SHAPE MOTION on a BACKGROUND background"
    head, separator, tail = caption.strip().lower().partition(" on a ")
    words = head.split()
    if not separator or not tail.endswith(" background") or len(words) < 5 or words[0] != "a":
        raise ValueError(f"caption must read {template!r}, got {caption!r}")
    return Spec(
        size=Size(words[1]),
        colour=words[2],
        shape=Shape(words[3]),
        motion=Motion(" ".join(words[4:])),
        background=tail.removesuffix(" background"),
    )


def contrast(colour: str, background: str) -> float:
    """Euclidean RGB distance between an object's colour and a background."""
    pairs = zip(COLOURS[colour], BACKGROUNDS[background], strict=True)
    return math.sqrt(sum((a - b) ** 2 for a, b in pairs))


def readable_pairs() -> list[tuple[str, str]]:
    """All (colour, background) pairs far enough apart to be told from each other."""
    return [pair for pair in product(COLOURS, BACKGROUNDS) if contrast(*pair) >= MINIMUM_CONTRAST]


def vocabulary() -> list[str]:
    """Every word that a caption can hold, in a fixed order."""
    phrases: list[str] = ["a", "on", "background", *Size, *COLOURS, *Shape, *Motion, *BACKGROUNDS]
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))
