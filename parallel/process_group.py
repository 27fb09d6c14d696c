"""Bring the ranks of a gang together in one torch.distributed group."""

import gc
import os
import socket
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store

from parallel.layout import AttentionEngine, Layout

JOIN_TIMEOUT = timedelta(seconds=120)
COLLECTIVE_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendezvous:
    """Where the ranks of a gang find each other: rank 0's store."""

    host: str
    port: int


def open_store(host: str) -> tuple[TCPStore, Rendezvous]:
    """Rank 0's store, on a port that the operating system picked while binding it, so that none can race for it.

    It listens on `host` alone, where the store's own socket would listen on every interface. The libuv server is not
    used: it looks up the reverse name of each client, which stalls for 20 s where no name server answers.
    """
    family, *_ = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server((host, 0), family=family)
    port = listener.getsockname()[1]
    store = TCPStore(
        host,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=JOIN_TIMEOUT,
        use_libuv=False,
        master_listen_fd=listener.detach(),  # the store closes it
    )
    return store, Rendezvous(host=host, port=port)


def reach_store(rendezvous: Rendezvous) -> TCPStore:
    """Another rank's way to rank 0's store.

    Raises:
        torch.distributed.DistNetworkError: rank 0's store does not answer within `JOIN_TIMEOUT`.
    """
    return TCPStore(
        rendezvous.host,
        rendezvous.port,
        is_master=False,
        wait_for_workers=False,
        timeout=JOIN_TIMEOUT,
        use_libuv=False,
    )


def join_group(
    store: Store,
    *,
    rank: int,
    world_size: int,
    device: torch.device,
    engine: AttentionEngine = AttentionEngine.DIFFUSERS,
) -> None:
    """Make this process `rank` of the default group: NCCL on GPUs, gloo on the CPU.

    The device must be the current one already. Returns once every rank has joined.
    """
    dist.init_process_group(
        backend="cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        timeout=COLLECTIVE_TIMEOUT,
        device_id=_bound_device(device, engine),
    )


def join_from_environment(device: torch.device, *, engine: AttentionEngine = AttentionEngine.DIFFUSERS) -> None:
    """Join the group that `torchrun` describes in the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT)."""
    dist.init_process_group(
        backend="cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method="env://",
        timeout=COLLECTIVE_TIMEOUT,
        device_id=_bound_device(device, engine),
    )


def _bound_device(device: torch.device, engine: AttentionEngine) -> torch.device | None:
    """The device that the group is bound to, so that NCCL connects at once; None leaves it to the current device.

    xfuser makes groups of its own, and says in `init_distributed_environment` that NCCL fails in them (error 1) where
    the default group is bound to a device.
    """
    return device if device.type == "cuda" and engine is not AttentionEngine.XFUSER else None


def torchrun_ranks() -> tuple[int, int]:
    """(rank, world size) as `torchrun` has set them; (0, 1) in a plain process."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def leave_group() -> None:
    """Leave the default group and those made from it, if this process is in one.

    Gloo's threads hold the last collectives' tensors for a moment longer than the caller waits. They end with the
    last reference to their group; one that lives on may drop a tensor while Python ends, and aborts the process. So
    whoever holds a mesh, or a model that was split over one, must have dropped it before.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    gc.collect()  # models and meshes are full of cycles


def check_world(layout: Layout) -> None:
    """Raises ValueError where the group that was joined has not the layout's number of ranks."""
    joined = dist.get_world_size() if dist.is_initialized() else 1
    if joined != layout.world_size:
        raise ValueError(f"layout {layout} needs {layout.world_size} ranks, the group has {joined}")
