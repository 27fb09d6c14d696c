"""Start Ray on this machine, or join the cluster that is there; and leave it.

`ray_environment.prepare_environment` must have been called before this module is imported.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from orchestrator.choices import ClusterKind, Device
from orchestrator.errors import BadInput, GangFailed
from orchestrator.launch_plan import ClusterSpec, DecoderSpec
from orchestrator.termination import handlers_kept
from parallel.layout import Layout

NAMESPACE = "spectrum-orchestrator"
ANSWER_SECONDS = 5
"""How long a cluster may take to accept a connection."""


@contextmanager
def ray_cluster(cluster: ClusterSpec, layout: Layout, decoders: DecoderSpec) -> Iterator[None]:
    """Ray, up and with room for the gangs and decode workers; down (or left) at the end.

    Raises:
        BadInput: no cluster answers at the address, or it has not the room.
        GangFailed: Ray does not start on this machine.
    """
    try:
        if cluster.kind is ClusterKind.LOCAL:
            _start(cluster, layout, decoders)
        else:
            _join(cluster.address or "")
            _check_room(cluster, layout)
        yield
    finally:
        ray.shutdown()


def _start(cluster: ClusterSpec, layout: Layout, decoders: DecoderSpec) -> None:
    num_ranks = layout.world_size * cluster.num_gangs
    gpu_decoders = decoders.count if decoders.device is Device.CUDA else 0
    try:
        _init(
            address="local",
            num_cpus=(num_ranks + decoders.count) * cluster.cpus_per_rank,
            num_gpus=(num_ranks if cluster.device is Device.CUDA else 0) + gpu_decoders,
            object_store_memory=cluster.object_store_mb * 2**20,
            include_dashboard=False,
        )
    except Exception as error:
        raise GangFailed(f"Ray did not start on this machine: {error}") from error


def _init(**options: Any) -> None:
    with handlers_kept():  # Ray's own would end a launch that is all but done with status 15
        ray.init(logging_level=logging.ERROR, log_to_driver=False, namespace=NAMESPACE, **options)


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes before it says that nobody is there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS):
            return
    except ValueError as error:
        raise BadInput(f"cluster.address={address} is not host:port") from error
    except OSError as error:
        raise BadInput(
            f"cluster.address={address} could not be joined: nobody answers there ({error.strerror or error})"
        ) from error


def cluster_nodes(address: str) -> list[dict[str, float]]:
    """What each node of a cluster has: CPU, GPU, and under accelerator_type:NAME the kind of its GPUs.

    Raises:
        BadInput: no cluster answers at the address.
    """
    try:
        _join(address)
        return list(resources_of_nodes().values())
    finally:
        ray.shutdown()


def resources_of_nodes() -> dict[str, dict[str, float]]:
    """What each node that is alive has, in use or not, by its id."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def unused_resources() -> dict[str, float]:
    """What the nodes have that nobody uses, all together."""
    unused: dict[str, float] = ray.available_resources()
    return unused


def _join(address: str) -> None:
    _check_answers(address)
    try:
        _init(address=address)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError or its own, with long advice
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"cluster.address={address} could not be joined: {reason} "
            "(is Ray running there, and RAY_AUTH_TOKEN the cluster's own?)"
        ) from error


def _check_room(cluster: ClusterSpec, layout: Layout) -> None:
    num_ranks = layout.world_size * cluster.num_gangs
    has = ray.cluster_resources()
    resource, needed = (
        ("GPU", num_ranks) if cluster.device is Device.CUDA else ("CPU", num_ranks * cluster.cpus_per_rank)
    )
    if has.get(resource, 0) < needed:
        raise BadInput(
            f"cluster.num_gangs={cluster.num_gangs} gangs of {layout.world_size} ranks ({layout}) need {needed} "
            f"{resource}s, the Ray cluster has {int(has.get(resource, 0))}"
        )
