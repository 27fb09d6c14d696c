"""When the batch will be done."""

from collections import deque
from dataclasses import dataclass, field

_RECENT_VIDEOS = 20


@dataclass(kw_only=True, slots=True)
class Eta:
    """Predicts from the seconds that recent videos took on one gang, and how far each gang is with its own.

    Before the first video is done, the share of it that has been rendered stands for it.
    """

    num_gangs: int
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_VIDEOS))

    def video_took(self, seconds: float) -> None:
        """A gang has finished a video."""
        self._seconds.append(seconds)

    def remaining_seconds(self, *, waiting: int, under_way: dict[str, tuple[float, float]]) -> float | None:
        """Seconds until the last video is done; None while nothing is known.

        Args:
            waiting: videos that no gang has begun.
            under_way: for each busy gang, (share of its video that is done, seconds since it began).
        """
        if self._seconds:
            per_video = sum(self._seconds) / len(self._seconds)
        else:
            guesses = [seconds / share for share, seconds in under_way.values() if share > 0]
            if not guesses:
                return None
            per_video = sum(guesses) / len(guesses)
        left = waiting + sum(1 - share for share, _ in under_way.values())
        return per_video * left / min(self.num_gangs, max(waiting + len(under_way), 1))
