"""How long a command may take before its gang is taken for hung."""

from collections.abc import Hashable

HANG_FACTOR = 10.0
HANG_SECONDS = 60.0
"""A command hangs if it takes ten times as long as the slowest of its kind, and longer than a minute."""
FIRST_SECONDS = 4 * 3600.0
"""Limit of the first of a kind, which may load or compile, or be a large video's decoding on a CPU."""
PREPARE_SECONDS = 3600.0
"""Limit of encoding texts ahead, which says nothing of the next time: all may be there already, or none, and then the
encoder is loaded as slowly as the whole model may be."""


class HangLimits:
    """The slowest command of each kind so far."""

    def __init__(self) -> None:
        self._slowest: dict[tuple[Hashable, str], float] = {}

    def note(self, shape: Hashable, method: str, seconds: float) -> None:
        """A command on a video of this shape has ended."""
        self._slowest[shape, method] = max(self._slowest.get((shape, method), 0.0), seconds)

    def of(self, shape: Hashable, method: str) -> float:
        """Seconds that the next such command may take."""
        if method == "prepare":
            return PREPARE_SECONDS
        slowest = self._slowest.get((shape, method))
        if slowest is None:
            return FIRST_SECONDS
        return max(HANG_FACTOR * slowest, HANG_SECONDS)
