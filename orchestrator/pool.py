"""What the scheduler asks of gangs, wherever they run, and what it hears of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.reports import StageReport


@dataclass(frozen=True, slots=True)
class Command:
    """A method of `Worker`, to be called on every rank of a gang alike."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    """Keyword arguments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A gang has finished its command."""

    gang: str
    report: StageReport
    """Rank 0's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GangReady:
    """A gang holds the model and waits for commands: at first, or after it was rebuilt."""

    gang: str
    nodes: tuple[str, ...]
    """Names of the machines that its ranks are on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GangLost:
    """A rank of a gang died, fell silent or raised. The gang's other ranks have been killed; it is being rebuilt."""

    gang: str
    cause: str
    """One line: which rank, on which node, and what befell it."""
    details: str
    """The rank's own traceback, where it left one."""


Event = Reply | GangReady | GangLost


class Pool(Protocol):
    """Gangs that hold a loaded model, and decode workers, that wait for commands, each doing one at a time.

    Events name a decode worker as they name a gang.
    """

    @property
    def gangs(self) -> Sequence[str]:
        """Names of all, ready or not."""
        ...

    @property
    def decoders(self) -> Sequence[str]:
        """Names of the workers that only decode, ready or not."""
        ...

    def expect(self, num_videos: int) -> None:
        """Take note of how many videos wait or are with gangs: more gangs than these would find nothing to do."""
        ...

    def enlarge(self, gang: str) -> bool:
        """Build an idle gang anew, if it has fewer ranks than planned and there is room for more; whether so."""
        ...

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        """Let an idle gang begin. One that takes longer than the limit is lost."""
        ...

    def next_event(self, timeout: float) -> Event | None:
        """Wait until something happens to some gang; None if nothing does within `timeout` seconds."""
        ...

    def is_loading(self, names: Sequence[str]) -> bool:
        """Whether ranks of one of these gangs or decode workers are alive, and not ready yet."""
        ...

    def agree(self, flag: bool) -> bool:
        """Whether any process that schedules this pool says so; there is one but under torchrun."""
        ...

    def share(self, value: Any) -> Any:
        """What the first process that schedules this pool says: none that looks for itself may see otherwise."""
        ...

    def close(self) -> None:
        """End every process that the pool has started."""
        ...


def decoder_names(count: int) -> tuple[str, ...]:
    """Names of so many decode workers."""
    return tuple(f"decoder {index}" for index in range(count))


def run_command(worker: Any, command: Command) -> Any:
    """Call the worker's method; what it returns."""
    return getattr(worker, command.method)(*command.arguments, **dict(command.options))
