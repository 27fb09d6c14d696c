"""No process of a launch's own Ray outlives the launch, even where that is killed.

Ranks, node process and register of Ray die with the launch. Ray's two agents do not: they first tell a register that
is gone, for a minute and more. So a small process looks on at what the launch starts, waits for its end, and ends
what is left a little later. Run as a program it needs psutil alone.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psutil

LOOK_SECONDS = 1.0
GRACE_SECONDS = 3.0
"""For processes to end by themselves."""
GIVE_UP_SECONDS = 10.0
POLL_SECONDS = 0.25
DONE = b"done\n"


@contextmanager
def orphans_ended() -> Iterator[None]:
    """If this process is killed inside, what it has started is ended."""
    with subprocess.Popen(
        # Without this folder on the path, whose modules have names that others have too.
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is not for it
    ) as watcher:
        try:
            yield
        finally:
            assert watcher.stdin is not None
            with suppress(BrokenPipeError):
                watcher.stdin.write(DONE)
                watcher.stdin.flush()


def watch_parent() -> set[psutil.Process]:
    """All descendants that the parent has had by the time it was killed; none where it ended by itself."""
    parent, own, seen = psutil.Process(os.getppid()), psutil.Process(), set()
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        with suppress(psutil.NoSuchProcess):
            seen |= set(parent.children(recursive=True)) - {own}
    return set() if sys.stdin.buffer.readline() == DONE else seen


def end_all(processes: Collection[psutil.Process]) -> None:
    """Wait a little for them to end, and kill those that do not."""
    begin = time.monotonic()
    while (left := [one for one in processes if _is_alive(one)]) and time.monotonic() - begin < GIVE_UP_SECONDS:
        if time.monotonic() - begin > GRACE_SECONDS:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(POLL_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    end_all(watch_parent())
