"""The one device operation of a forecast: a weighted sum of snapshots, read once, written once."""

from collections.abc import Callable, Sequence
from functools import cache

import torch

_CHUNK = 2**20
"""Elements summed at a time on the CPU: their float32 sum stays in the cache."""


def weighted_sum(snapshots_KE: torch.Tensor, weights_K: Sequence[float]) -> torch.Tensor:
    """Σₖ weightsₖ · snapshotₖ, added up in float32 (float64 for float64) and rounded once to the snapshots' dtype.

    No copy of the snapshots in another dtype is made. A snapshot whose weight is 0 has no influence. Elementwise, in
    the order of the snapshots: the sum of a slice is the slice of the sum, bit for bit.

    Args:
        snapshots_KE: `(K, *features)`, contiguous.
        weights_K: one for each snapshot.

    Returns:
        `(*features)`.
    """
    if snapshots_KE.device.type == "cuda":
        weights = torch.tensor(list(weights_K), dtype=torch.float32, device=snapshots_KE.device)
        total: torch.Tensor = fused_sum()(snapshots_KE, weights)
        return total
    return chunked_sum(snapshots_KE, weights_K)


def chunked_sum(snapshots_KE: torch.Tensor, weights_K: Sequence[float]) -> torch.Tensor:
    """The sum in plain torch, chunk by chunk."""
    used = [(weight, snapshots_KE[k].view(-1)) for k, weight in enumerate(weights_K) if weight != 0]
    total = torch.empty_like(snapshots_KE[0])
    flat_E = total.view(-1)
    accumulator = torch.empty(
        min(_CHUNK, flat_E.numel()),
        dtype=torch.promote_types(flat_E.dtype, torch.float32),
        device=flat_E.device,
    )
    for begin in range(0, flat_E.numel(), _CHUNK):
        chunk = flat_E[begin : begin + _CHUNK]
        summed = accumulator[: chunk.numel()].zero_()
        for weight, snapshot_E in used:
            summed.add_(snapshot_E[begin : begin + _CHUNK], alpha=weight)
        chunk.copy_(summed)
    return total


@cache
def fused_sum() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The sum as one kernel, compiled at its first use for each shape: a loop over K inside, nothing in between."""

    def add_up(snapshots_KE: torch.Tensor, weights_K: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(snapshots_KE[0], dtype=torch.promote_types(snapshots_KE.dtype, weights_K.dtype))
        for k in range(snapshots_KE.shape[0]):
            # Not a product alone: what a snapshot without weight holds (nothing yet, or infinity) must not count.
            term = snapshots_KE[k].to(total.dtype) * weights_K[k]
            total = total + torch.where(weights_K[k] == 0, 0.0, term)
        return total.to(snapshots_KE.dtype)

    compiled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.compile(add_up, dynamic=False)
    return compiled
