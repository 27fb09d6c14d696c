"""What a busy machine takes for itself, for tests that promise seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def held_up() -> Iterator[Callable[[], float]]:
    """`seconds()`: for how long the block could not go on, since the machine had other things to do."""
    pauses, ended = [], threading.Event()

    def look() -> None:
        begin = time.monotonic()
        while not ended.wait(0.05):
            now = time.monotonic()
            pauses.append(now - begin - 0.05)
            begin = now

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: sum(pauses)
    finally:
        ended.set()
        thread.join()
