"""What a Ray cluster that is up has room for, and what is left of it beside the gangs of this launch."""

from collections.abc import Iterable, Mapping

from orchestrator.choices import Device, choose
from orchestrator.config import DecodeConfig, LaunchConfig
from orchestrator.ray_environment import prepare_environment
from orchestrator.room import Room, slots_of

GPU_KIND = "accelerator_type:"
"""How the name of a resource begins by which Ray says what a node's GPUs are."""

Resources = Mapping[str, float]


def rank_resources(device: Device, cpus_per_rank: int) -> dict[str, float]:
    """What Ray reserves for a rank."""
    return {"CPU": float(cpus_per_rank)} | ({"GPU": 1.0} if device is Device.CUDA else {})


def ask_cluster(config: LaunchConfig, device: Device) -> Room:
    """Join the cluster, see what its nodes have for ranks on such a device, and leave it.

    Decode workers that take the same cores have theirs; those on GPUs are the caller's affair.

    Raises:
        BadInput: no cluster answers at its address.
    """
    prepare_environment(own_cluster=False)
    from orchestrator.ray_cluster import cluster_nodes  # noqa: PLC0415 - Ray reads the environment when imported

    cluster = config.cluster
    room = room_of(cluster_nodes(cluster.address or ""), rank_resources(device, cluster.cpus_per_rank))
    return beside_decoders(room, config.decode, device)


def beside_decoders(room: Room, decode: DecodeConfig, device: Device) -> Room:
    """What is left for ranks on such a device once the decode workers that take the same cores have theirs."""
    takes_cores = device is Device.CPU and choose(Device, decode.device, "decode.device") is Device.CPU
    return room.without(decode.workers) if takes_cores else room


def room_of(nodes: Iterable[Resources], per_rank: Resources) -> Room:
    """What nodes with these resources have for ranks."""
    all_nodes = list(nodes)
    kinds = [name.removeprefix(GPU_KIND) for node in all_nodes for name in node if name.startswith(GPU_KIND)]
    slots = (slots_of(node, per_rank=per_rank) for node in all_nodes)
    return Room(nodes=tuple(number for number in slots if number), gpu_type=kinds[0] if kinds else None)


def left_beside(nodes: Mapping[str, Resources], taken: Iterable[tuple[str, Resources]], per_rank: Resources) -> Room:
    """What nodes have for further ranks.

    Args:
        nodes: resources by node, in use or not.
        taken: node and resources of each actor that is there.
        per_rank: resources of a further rank.
    """
    left = {name: dict(resources) for name, resources in nodes.items()}
    for name, resources in taken:
        for resource, amount in resources.items():
            if name in left:
                left[name][resource] = left[name].get(resource, 0.0) - amount
    return room_of(left.values(), per_rank)
