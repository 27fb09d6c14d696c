"""What a launch does when it is asked to end: by Ctrl-C, by a cluster, or ahead of a time limit."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.policy import Stop

_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals that ask for an end."""


class Terminated(KeyboardInterrupt):
    """The launch was asked to end by another process, not from the keyboard."""


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Inside, SIGTERM and SIGUSR1 raise, as Ctrl-C does, so that what was started is taken down on the way out."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    with _handlers({signal.SIGTERM: interrupt, signal.SIGUSR1: interrupt}):
        yield


@contextmanager
def stopping_gently(stop: Stop) -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGUSR1 ask for a stop; a second Ctrl-C raises at once."""

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.reason = stop.reason or signal.Signals(number).name

    with _handlers(dict.fromkeys(_ASKS, ask)):
        yield


@contextmanager
def none_swallowed() -> Iterator[None]:
    """What a signal raises inside, and a library catches, is raised again at the end.

    Python drops what a handler raises in a callback from C or in a finalizer, and Ray's start has many of both: a
    Ctrl-C in such a moment would do nothing.
    """
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in _ASKS}

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        handler = before[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    with _handlers({number: note for number, handler in before.items() if callable(handler)}):
        yield
    if seen:
        note(seen[0], None)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts back at the end what a library inside replaces, such as Ray."""
    before = {number: signal.getsignal(number) for number in _ASKS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _handlers(handlers: "dict[signal.Signals, signal._HANDLER]") -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
