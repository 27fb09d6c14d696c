"""One gang without Ray: this process, alone or as one rank of torchrun."""

import os
import platform
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Any

from orchestrator.errors import RankFailed
from orchestrator.launch_plan import LaunchPlan
from orchestrator.pool import Command, Event, GangLost, GangReady, Reply, run_command
from orchestrator.rank import rank_spec
from orchestrator.worker import Worker
from parallel.process_group import torchrun_ranks

GANG_NAME = "gang 0"


class LocalPool:
    """A pool of one gang, of which this process is a rank; a command runs while it is submitted."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Join the other ranks, if torchrun has started any, and load the model."""
        rank, self._world_size = torchrun_ranks()
        self._worker = Worker(rank_spec(plan, rank, device_index=int(os.environ.get("LOCAL_RANK", "0"))))
        if self._world_size > 1:
            self._worker.join_torchrun()
        self._worker.load()
        self._events: deque[Event] = deque([GangReady(gang=GANG_NAME, nodes=(platform.node(),))])

    @property
    def gangs(self) -> Sequence[str]:
        """The one gang."""
        return (GANG_NAME,)

    @property
    def decoders(self) -> Sequence[str]:
        """None: the gang decodes."""
        return ()

    def expect(self, num_videos: int) -> None:
        """There is one gang, whatever comes."""

    def enlarge(self, gang: str) -> bool:
        """No: it is as large as planned."""
        return False

    def submit(self, gang: str, command: Command, *, limit_seconds: float | None = None) -> None:
        """Run the command here and now; nobody is there to watch the limit.

        What it raises is heard of as an event: the process, and the model in it, live on.

        Raises:
            RankFailed: they cannot: under torchrun the other ranks wait for this one, and a GPU that has failed once
                fails every video that comes after.
        """
        del limit_seconds
        try:
            self._events.append(Reply(gang=gang, report=run_command(self._worker, command)))
        except Exception as error:
            cause = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            if self._world_size > 1 or not self._worker.is_usable():
                raise RankFailed(cause, traceback.format_exc()) from error
            self._worker.forget()
            self._events.append(GangLost(gang=gang, cause=cause, details=traceback.format_exc()))
            self._events.append(GangReady(gang=gang, nodes=(platform.node(),)))

    def next_event(self, timeout: float) -> Event | None:
        """The oldest event; there is nothing to wait for."""
        del timeout
        return self._events.popleft() if self._events else None

    def is_loading(self, names: Sequence[str]) -> bool:
        """No: the gang was ready before it was a pool's."""
        return False

    def share(self, value: Any) -> Any:
        """Rank 0's."""
        return self._worker.share(value)

    def agree(self, flag: bool) -> bool:
        """Whether any rank says so: torchrun's ranks schedule each for itself, and must do the same."""
        return self._worker.agree(flag)

    def close(self) -> None:
        """Drop the model and leave the process group."""
        self._worker.leave()
