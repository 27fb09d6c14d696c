"""Which texts a gang encodes before a video: its own, and a share of those that come next."""

from collections import deque
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

    def take(self, own: Iterable[str], *, num_gangs: int) -> list[str]:
        """Texts to encode before the video that `own` belong to; none where these are encoded."""
        missing = [text for text in dict.fromkeys(own) if text not in self._encoded]
        if not missing:
            return []
        # Every n-th of those that come next, as the n gangs take turns.
        coming = [self._coming.popleft() for _ in range(min(TEXTS_AHEAD * num_gangs, len(self._coming)))]
        left = [text for index, text in enumerate(coming) if index % num_gangs and text not in missing]
        self._coming.extendleft(reversed(left))
        return missing + [text for text in coming[::num_gangs] if text not in missing]

    def note_encoded(self, texts: Sequence[str], number: int) -> None:
        """The first so many are on the disk; for the others there was no time."""
        self._encoded.update(texts[:number])
        self.put_back(texts[number:])

    def put_back(self, texts: Sequence[str]) -> None:
        """They were taken, and not encoded."""
        self._coming.extendleft(reversed(texts))


def texts_of(request: Request) -> tuple[str, str]:
    """Those that a video needs encoded."""
    return request.prompt, request.negative_prompt
