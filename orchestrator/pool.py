"""What the scheduler asks of gangs, wherever they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.reports import StageReport


@dataclass(frozen=True, slots=True)
class Command:
    """A method of `Worker`, to be called on every rank of a gang alike."""

    method: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A gang has finished its command."""

    gang: str
    report: StageReport
    """Rank 0's."""


class Pool(Protocol):
    """Gangs that hold a loaded model and wait for commands, each doing one at a time."""

    @property
    def gangs(self) -> Sequence[str]:
        """Their names."""
        ...

    def nodes(self, gang: str) -> Sequence[str]:
        """Names of the machines that a gang's ranks are on, each once."""
        ...

    def submit(self, gang: str, command: Command) -> None:
        """Let an idle gang begin."""
        ...

    def next_reply(self) -> Reply:
        """Wait until some gang has finished.

        Raises:
            GangFailed: a rank died or raised.
        """
        ...

    def close(self) -> None:
        """End every process that the pool has started."""
        ...
