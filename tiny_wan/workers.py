"""A few single-threaded worker processes that train one model together.

On a busy machine one process with two threads waits at a barrier in every operator; two processes with one thread
each meet once a step. They average gradients synchronously, so a run's result does not depend on their timing.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from parallel.process_group import leave_group

P = ParamSpec("P")


def run_workers(num_workers: int, target: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run `target(*args, **kwargs)` in `num_workers` processes that form one gloo group, and wait for all.

    With 0 workers it runs in this process, without a group.

    Raises:
        torch.multiprocessing.ProcessRaisedException: a worker failed; the others are ended.
    """
    if num_workers == 0:
        target(*args, **kwargs)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        job = _Job(target=target, args=args, kwargs=kwargs)
        spawn(_worker, args=(num_workers, store, job), nprocs=num_workers)


@dataclass(kw_only=True, slots=True)
class _Job:
    target: Callable[..., None]
    args: tuple[object, ...]
    kwargs: dict[str, object]


def _worker(rank: int, num_workers: int, store: str, job: _Job) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=num_workers)
    try:
        job.target(*job.args, **job.kwargs)
    finally:
        leave_group()
