"""Which texts a gang encodes before a video: its own, and a share of those that come next."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from orchestrator.request import Request

TEXTS_AHEAD = 512
"""Texts that a gang encodes at once."""


class TextsAhead:
    """Texts of a batch that are still to be encoded, in the order of its videos.

    The encoder is large and is let go after each use: the more texts it encodes at once, the rarer it is loaded.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Those of all videos that wait; a text that occurs again counts once."""
        self._coming = deque(dict.fromkeys(texts))
        self._encoded: set[str] = set()
        self._lost: Counter[str] = Counter()

    def take(self, own: Iterable[str], *, num_gangs: int) -> list[str]:
        """Texts to encode before the video that `own` belong to; none where these are encoded."""
        missing = [text for text in dict.fromkeys(own) if text not in self._encoded]
        if not missing or any(self._lost[text] > 1 for text in missing):
            return missing
        # Every n-th of those that come next, as the n gangs take turns.
        coming = [self._coming.popleft() for _ in range(min(TEXTS_AHEAD * num_gangs, len(self._coming)))]
        left = [text for index, text in enumerate(coming) if index % num_gangs and text not in missing]
        self._coming.extendleft(reversed(left))
        return missing + [text for text in coming[::num_gangs] if text not in missing]

    def note_encoded(self, texts: Sequence[str], number: int) -> None:
        """The first so many are on the disk. The next one's turn is with its own video, as it may have failed."""
        self._encoded.update(texts[:number])
        self._put_back(texts[number + 1 :])

    def note_lost(self, texts: Sequence[str], own: Iterable[str]) -> bool:
        """A gang was lost while it encoded them; whether a text may be to blame that is not the video's own.

        They are encoded ahead once more, as most likely none is. Those that another gang is lost at are then left to
        the videos that they belong to.
        """
        others = [text for text in texts if text not in set(own)]
        self._put_back([text for text in others if not self._lost[text]])
        self._lost.update(texts)
        return bool(others)

    def _put_back(self, texts: Sequence[str]) -> None:
        """They were taken, and not encoded."""
        self._coming.extendleft(reversed(texts))


def texts_of(request: Request) -> tuple[str, str]:
    """Those that a video needs encoded."""
    return request.prompt, request.negative_prompt
