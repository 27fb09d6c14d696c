"""When the batch will be done."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_RECENT_VIDEOS = 20


def _recent() -> deque[float]:
    return deque(maxlen=_RECENT_VIDEOS)


@dataclass(kw_only=True, slots=True)
class Eta:
    """Predicts from the seconds that recent videos took on one gang, and how far each gang is with its own.

    Before the first video is done, the share of it that has been rendered stands for it. With decode workers the
    gangs and they work at the same time: the batch ends with whoever has more left to do.
    """

    num_gangs: int
    num_decoders: int = 0
    """Workers that take the videos from the gangs once they are denoised."""
    _seconds: deque[float] = field(default_factory=_recent)
    _decode_seconds: deque[float] = field(default_factory=_recent)

    def video_took(self, seconds: float) -> None:
        """A gang has finished a video, or has left it to a decode worker."""
        self._seconds.append(seconds)

    def decode_took(self, seconds: float) -> None:
        """A decode worker has finished a video."""
        self._decode_seconds.append(seconds)

    def remaining_seconds(
        self,
        *,
        waiting: int,
        under_way: dict[str, tuple[float, float]],
        denoised: int = 0,
        decoding: Sequence[float] = (),
    ) -> float | None:
        """Seconds until the last video is done; None while nothing is known.

        Args:
            waiting: videos that no gang has begun.
            under_way: for each busy gang, (share of its video that is done, seconds since it began).
            denoised: videos that wait for a decode worker.
            decoding: for each busy decode worker, seconds since it began its video.
        """
        gangs = self._gang_seconds(waiting, under_way)
        if not self.num_decoders or gangs is None:
            return gangs
        per_video = sum(self._decode_seconds) / len(self._decode_seconds) if self._decode_seconds else 0.0
        coming = waiting + len(under_way)
        begun = sum(max(per_video - seconds, 0.0) for seconds in decoding)
        videos = coming + denoised + len(decoding)
        decoders = (per_video * (coming + denoised) + begun) / min(self.num_decoders, max(videos, 1))
        return max(gangs + (per_video if coming else 0.0), decoders)

    def _gang_seconds(self, waiting: int, under_way: dict[str, tuple[float, float]]) -> float | None:
        """Until the gangs have nothing left to do."""
        if not waiting and not under_way:
            return 0.0 if self._seconds or self._decode_seconds else None
        if self._seconds:
            per_video = sum(self._seconds) / len(self._seconds)
        else:
            guesses = [seconds / share for share, seconds in under_way.values() if share > 0]
            if not guesses:
                return None
            per_video = sum(guesses) / len(guesses)
        left = waiting + sum(1 - share for share, _ in under_way.values())
        return per_video * left / min(self.num_gangs, max(waiting + len(under_way), 1))
