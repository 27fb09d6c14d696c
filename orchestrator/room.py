"""How many ranks a cluster has room for, node by node, and how many gangs that is. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What a cluster has for ranks."""

    nodes: tuple[int, ...]
    """Ranks that each node has room for: its GPUs, or what its CPU cores suffice for."""
    gpu_type: str | None = None
    """Name of the GPUs, as the cluster or their driver calls them; None on the CPU, or where nobody says."""

    @property
    def num_ranks(self) -> int:
        """Of all nodes."""
        return sum(self.nodes)

    @property
    def ranks_per_node(self) -> int:
        """Of the largest node; at least 1."""
        return max(self.nodes, default=1) or 1

    def gangs_that_fit(self, ranks_per_gang: int) -> int:
        """Gangs that have room, none of them spread over more nodes than it needs."""
        return self.places(ranks_per_gang, on_one_node=ranks_per_gang <= self.ranks_per_node)

    def places(self, ranks_per_gang: int, *, on_one_node: bool) -> int:
        """Gangs that have room, whose ranks have to be on one node each, or may be anywhere."""
        if on_one_node:
            return sum(ranks // ranks_per_gang for ranks in self.nodes)
        return self.num_ranks // ranks_per_gang

    def without(self, num_ranks: int) -> "Room":
        """What is left once so many ranks' places are taken, of the smallest nodes first."""
        left = sorted(self.nodes)
        for index, ranks in enumerate(left):
            taken = min(ranks, num_ranks)
            left[index], num_ranks = ranks - taken, num_ranks - taken
        return Room(nodes=tuple(left), gpu_type=self.gpu_type)


def slots_of(resources: Mapping[str, float], *, per_rank: Mapping[str, float]) -> int:
    """Ranks that a node's resources suffice for."""
    return max(int(min(resources.get(name, 0.0) // needed for name, needed in per_rank.items())), 0)


def most_gangs(room: Room, ranks_per_gang: int, *, num_videos: int) -> int:
    """Gangs to begin: as many as fit, but no more than there are videos."""
    return min(room.gangs_that_fit(ranks_per_gang), max(num_videos, 1))
