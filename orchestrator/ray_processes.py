"""Watch the programs of a Ray that this process has started itself: without them it hears of nothing any more.

Ray's own driver notices the loss of its node process after a minute, and never that it is frozen.
"""

import threading
from time import monotonic

import psutil

from orchestrator.errors import RayLost

PROGRAMS = ("gcs_server", "raylet")
"""Ray's names of the cluster's register and of the node process."""
LOOK_SECONDS = 1.0
FROZEN_SECONDS = 4.0
"""How long one may be stopped before it is taken for frozen, and killed."""


class RayProcesses:
    """The register and the node process below this process.

    A thread looks at them, as calls to Ray may block meanwhile.
    """

    def __init__(self) -> None:
        """Begin to watch. Ray must be up."""
        children = [(child, child.name()) for child in psutil.Process().children()]
        self._watched = [(child, name) for child, name in children if name in PROGRAMS]
        self._cause: str | None = None
        self._closing = threading.Event()
        threading.Thread(target=self._watch, name="ray processes", daemon=True).start()

    def check(self) -> None:
        """Raises RayLost where one of them has died or was frozen."""
        if self._cause is not None:
            raise RayLost(self._cause)

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def _watch(self) -> None:
        stopped_since: dict[str, float] = {}
        while not self._closing.wait(LOOK_SECONDS):
            for process, name in self._watched:
                status = _status(process)
                if status == psutil.STATUS_ZOMBIE:
                    self._cause = f"Ray's {name} (process {process.pid}) died"
                    return
                if status != psutil.STATUS_STOPPED:
                    stopped_since.pop(name, None)
                elif monotonic() - stopped_since.setdefault(name, monotonic()) > FROZEN_SECONDS:
                    self._cause = f"Ray's {name} (process {process.pid}) was frozen for {FROZEN_SECONDS:g} s"
                    process.kill()  # calls that wait for it then fail
                    return


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)
