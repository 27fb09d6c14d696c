"""Whether gangs, or decode workers, come about at all: how long none may be there, how often building may fail."""

from collections import Counter
from collections.abc import Callable
from time import monotonic

from orchestrator.errors import GangFailed

PLACE_SECONDS = 300.0
"""How long none may have room before the launch gives up."""
LOAD_SECONDS = 3600.0
"""The same while ranks are alive and load: a large model from a slow file system that many nodes read at once."""
MOST_FAILED_BUILDS = 3
"""Failures in a row of each of them, after which the launch gives up."""


class Readiness:
    """Of one kind, which the other cannot stand in for."""

    def __init__(self, what: str, number: int, *, clock: Callable[[], float] = monotonic) -> None:
        """None is ready yet of `number`, each of which is `what`."""
        self._what = what
        self._number = number
        self._clock = clock
        self._without_since: float | None = clock()
        self._failed_builds: Counter[str] = Counter()
        self._last = ""

    def note_ready(self, name: str) -> None:
        """One waits for commands."""
        self._failed_builds.pop(name, None)
        self._without_since = None

    def note_lost(self, name: str, cause: str, *, was_building: bool, is_any_left: bool) -> None:
        """One died, fell silent or raised; whether it had ever been ready, and whether others are."""
        if was_building:
            self._failed_builds[name] += 1
        self._last = cause
        self.note_rebuilt(is_any_left=is_any_left)

    def note_rebuilt(self, *, is_any_left: bool) -> None:
        """One that was ready is not for now; whether others are."""
        if not is_any_left:
            self._without_since = self._clock()

    def check(self, *, is_loading: bool) -> None:
        """Raises GangFailed where none is ready, and waiting longer is no use."""
        if self._without_since is None:
            return
        given_up = sum(number >= MOST_FAILED_BUILDS for number in self._failed_builds.values())
        if given_up >= self._number:
            raise GangFailed(f"no {self._what} can be built: {self._last}".rstrip())
        limit = LOAD_SECONDS if is_loading else PLACE_SECONDS
        if self._clock() - self._without_since < limit:
            return
        why = "its ranks still load" if is_loading else "the cluster has no room for one"
        raise GangFailed(f"no {self._what} was ready for {limit:g} s: {why}")
