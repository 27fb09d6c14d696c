"""Slice tokens over the ranks of a gang, and gather them again."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from parallel.layout import Layout, LayoutError


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenGroup:
    """The ranks that hold one video's tokens, each a slice of equal length, in the order of the ranks."""

    layout: Layout
    rank: int

    def slice(self, tokens_BSD: torch.Tensor) -> torch.Tensor:
        """The slice that this rank's blocks get: (batch, tokens, values) → (batch, tokens / ranks, values).

        Raises:
            LayoutError: the tokens do not divide by the ranks.
        """
        num_tokens = tokens_BSD.shape[1]
        if num_tokens % self.layout.world_size:
            raise LayoutError(
                f"{num_tokens} tokens do not divide by the {self.layout.world_size} ranks of {self.layout}"
            )
        return tokens_BSD.chunk(self.layout.world_size, dim=1)[self.rank]

    def gather(self, tokens_BSD: torch.Tensor) -> torch.Tensor:
        """All ranks' slices, on every rank: (batch, tokens / ranks, values) → (batch, tokens, values)."""
        if self.layout.world_size == 1:
            return tokens_BSD
        slices = [torch.empty_like(tokens_BSD) for _ in range(self.layout.world_size)]
        dist.all_gather(slices, tokens_BSD.contiguous())
        return torch.cat(slices, dim=1)

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

    def largest(self, value: int, device: torch.device) -> int:
        """The largest of all ranks' values, on every rank."""
        if self.layout.world_size == 1:
            return value
        reduced = torch.tensor(value, dtype=torch.int64, device=device)
        dist.all_reduce(reduced, op=dist.ReduceOp.MAX)
        return int(reduced.item())
