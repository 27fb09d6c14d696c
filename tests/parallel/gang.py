"""Run a function on all ranks of gangs of several sizes: `gang.py FILE FUNCTION WORLD_SIZES ARGUMENTS OUTPUT`.

The libraries are imported once; the ranks are forked from there, before any thread is started.
"""

import importlib.util
import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType

import torch

from parallel.process_group import Rendezvous, join_group, leave_group, open_store, reach_store


def import_file(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("task", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_rank(rank: int, *, task: Callable, world_size: int, output: Path, ports: SimpleQueue) -> None:
    torch.set_num_threads(1)
    try:
        if rank == 0:
            store, rendezvous = open_store("127.0.0.1")
            for _ in range(world_size - 1):
                ports.put(rendezvous.port)
        else:
            store = reach_store(Rendezvous(host="127.0.0.1", port=ports.get()))
        if world_size > 1:
            join_group(store, rank=rank, world_size=world_size, device=torch.device("cpu"))
        torch.save(task(rank, world_size), output / f"{world_size}-{rank}.pt")
        leave_group()
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def run_gang(task: Callable, *, world_size: int, output: Path) -> None:
    fork = multiprocessing.get_context("fork")
    shared = {"task": task, "world_size": world_size, "output": output, "ports": fork.SimpleQueue()}
    ranks = [fork.Process(target=run_rank, args=(rank,), kwargs=shared) for rank in range(world_size)]
    for process in ranks:
        process.start()
    running = list(ranks)
    while running:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in ranks):
            for process in ranks:  # they would wait for the one that failed
                process.kill()
            sys.exit(f"exit statuses of {world_size} ranks: {[process.exitcode for process in ranks]}")
        running = [process for process in running if process.exitcode is None]


if __name__ == "__main__":
    task_file, name, world_sizes, arguments, output = sys.argv[1:]
    task = partial(getattr(import_file(task_file), name), **json.loads(arguments))
    for world_size in json.loads(world_sizes):
        run_gang(task, world_size=world_size, output=Path(output))
