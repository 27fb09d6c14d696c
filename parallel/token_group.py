"""Slice tokens over the ranks of a gang, gather them, and exchange what the guidance branches need."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from parallel.layout import Layout
from parallel.process_group import check_world

AXES = ("cfg", "ring", "ulysses")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenGroup:
    """The ranks that render one video, as one of them sees them.

    The tokens are split over the ring and Ulysses axes together, in the order of the ranks, as
    `torch.tensor_split` splits: slices differ by one token at most. The ranks of the two guidance branches hold
    the same slices.
    """

    layout: Layout
    rank: int
    mesh: DeviceMesh | None = None
    """Axes "cfg", "ring", "ulysses"; None with one rank."""

    @property
    def sequence_rank(self) -> int:
        """Which slice of the tokens this rank holds."""
        return self.rank % self.layout.sequence_degree

    @property
    def branch_index(self) -> int | None:
        """Which guidance branch this rank runs; None where it runs both."""
        return None if self.layout.cfg == 1 else self.rank // self.layout.sequence_degree

    def slice(self, tokens_BSD: torch.Tensor) -> torch.Tensor:
        """The slice that this rank's blocks get: (batch, tokens, values) → (batch, its tokens, values)."""
        return tokens_BSD.tensor_split(self.layout.sequence_degree, dim=1)[self.sequence_rank]

    def gather(self, tokens_BSD: torch.Tensor, num_tokens: int) -> torch.Tensor:
        """All slices in order, on every rank: (batch, its tokens, values) → (batch, `num_tokens`, values).

        Slices are padded to the longest for the wire, since gloo gathers equal shapes only; the padding is cut
        off at once.
        """
        slices = self.layout.sequence_degree
        if slices == 1:
            return tokens_BSD
        longest = -(-num_tokens // slices)
        padded = torch.nn.functional.pad(tokens_BSD, (0, 0, 0, longest - tokens_BSD.shape[1])).contiguous()
        received = [torch.empty_like(padded) for _ in range(slices)]
        dist.all_gather(received, padded, group=self._sequence_group())
        lengths = [len(part) for part in torch.arange(num_tokens).tensor_split(slices)]
        return torch.cat([part[:, :own] for part, own in zip(received, lengths, strict=True)], dim=1)

    def exchange_branches(self, velocity_BSD: torch.Tensor) -> list[torch.Tensor]:
        """Both branches' velocities of this rank's tokens, in the order of `branch_index`, where `cfg` is 2.

        One all-gather between two ranks.
        """
        assert self.mesh is not None
        received = [torch.empty_like(velocity_BSD) for _ in range(2)]
        dist.all_gather(received, velocity_BSD.contiguous(), group=self.mesh["cfg"].get_group())
        return received

    def broadcast(self, tensor: torch.Tensor | None, device: torch.device) -> torch.Tensor:
        """Rank 0's tensor on every rank's `device`; the other ranks pass None."""
        if self.layout.world_size == 1:
            assert tensor is not None
            return tensor.to(device)
        header: list[Any] = [None if tensor is None else (tuple(tensor.shape), tensor.dtype)]
        dist.broadcast_object_list(header, src=0)
        if tensor is None:
            shape, dtype = header[0]
            sent = torch.empty(shape, dtype=dtype, device=device)
        else:
            sent = tensor.to(device).contiguous()
        dist.broadcast(sent, src=0)
        return sent

    def sum(self, values: torch.Tensor, device: torch.device) -> torch.Tensor:
        """The sum of all ranks' `values`, the same bits on every rank: added in the order of the ranks.

        Args:
            values: float64 on the CPU, of the same shape on all ranks.
            device: where the process group works.

        Returns:
            float64 on the CPU.
        """
        if self.layout.world_size == 1:
            return values
        own = values.to(device)
        received = [torch.empty_like(own) for _ in range(self.layout.world_size)]
        dist.all_gather(received, own)
        return torch.stack(received).cpu().sum(dim=0)

    def largest(self, value: int, device: torch.device) -> int:
        """The largest of all ranks' values, on every rank."""
        if self.layout.world_size == 1:
            return value
        reduced = torch.tensor(value, dtype=torch.int64, device=device)
        dist.all_reduce(reduced, op=dist.ReduceOp.MAX)
        return int(reduced.item())

    def _sequence_group(self) -> dist.ProcessGroup:
        assert self.mesh is not None
        return sequence_mesh(self.mesh).get_group()


def join_token_group(layout: Layout, *, rank: int, device_type: str) -> TokenGroup:
    """The token group of the default process group's ranks; all of them call this together.

    Raises:
        ValueError: the process group has another number of ranks than the layout.
    """
    check_world(layout)
    if layout.world_size == 1:
        return TokenGroup(layout=layout, rank=rank)
    mesh = init_device_mesh(device_type, (layout.cfg, layout.ring, layout.ulysses), mesh_dim_names=AXES)
    sequence_mesh(mesh)  # its process group is made by all ranks now, not in the middle of a round
    return TokenGroup(layout=layout, rank=rank, mesh=mesh)


def sequence_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The ring and Ulysses axes of a gang's mesh as one. torch makes its process group at the first call."""
    return mesh["ring", "ulysses"]._flatten()
