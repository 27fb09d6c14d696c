"""See to it that a launch leaves no process behind."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36
"""Linux: processes whose parent has died become children of this process, not of the first process of all."""

_GRACE_SECONDS = 0.5


@contextmanager
def no_process_left() -> Iterator[None]:
    """End every process that was started inside the block, directly or not, when it ends.

    Ray ends its own, but not when it is interrupted while it starts: the agents of a node process that was killed
    then live on without a parent. As their reaper this process inherits them, and can find them.
    """
    before = set(psutil.Process().children(recursive=True))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        # Two passes: what a process starts while the first one runs is found by the second.
        for _ in range(2):
            _end([process for process in psutil.Process().children(recursive=True) if process not in before])
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return
