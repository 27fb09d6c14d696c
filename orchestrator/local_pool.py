"""One gang without Ray: this process, alone or as one rank of torchrun."""

import os
import platform
from collections import deque
from collections.abc import Sequence

from orchestrator.launch_plan import LaunchPlan
from orchestrator.pool import Command, Reply
from orchestrator.rank import RankSpec
from orchestrator.worker import Worker
from parallel.process_group import leave_group, torchrun_ranks

GANG_NAME = "gang 0"


class LocalPool:
    """A pool of one gang, of which this process is a rank; a command runs while it is submitted."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Join the other ranks, if torchrun has started any, and load the model."""
        rank, world_size = torchrun_ranks()
        self._worker = Worker(
            RankSpec(
                rank=rank,
                layout=plan.layout,
                engine=plan.engine,
                uneven=plan.is_uneven,
                shard_blocks=plan.shard_blocks,
                decode_parallel=plan.decode_parallel,
                embeddings=plan.run_folder.embeddings,
                model=plan.model,
                device=plan.cluster.device,
                device_index=int(os.environ.get("LOCAL_RANK", "0")),
                num_threads=plan.cluster.cpus_per_rank,
            )
        )
        if world_size > 1:
            self._worker.join_torchrun()
        self._worker.load()
        self._replies: deque[Reply] = deque()

    @property
    def gangs(self) -> Sequence[str]:
        """The one gang."""
        return (GANG_NAME,)

    def nodes(self, gang: str) -> Sequence[str]:
        """The one that this process is on; torchrun's other ranks may be elsewhere."""
        return (platform.node(),)

    def submit(self, gang: str, command: Command) -> None:
        """Run the command here and now. What it raises is raised as it is: the traceback is this process's own."""
        report = getattr(self._worker, command.method)(*command.arguments)
        self._replies.append(Reply(gang=gang, report=report))

    def next_reply(self) -> Reply:
        """The oldest command's reply."""
        return self._replies.popleft()

    def close(self) -> None:
        """Leave the process group."""
        leave_group()
