"""The one device operation of a forecast: a weighted sum of snapshots, read once, written once."""

from collections.abc import Callable, Sequence
from functools import cache

import torch

_CHUNK = 2**20
"""Elements summed at a time on the CPU: their float32 sum stays in the cache."""
_VECTOR = 16
"""Elements in a row that the kernel is told of, where the features divide by it: so it may load them together."""
_MOST_KERNELS = 200
"""Of one process; below torch's own limit of 256 for one function. Left alone, torch gives up after 8."""


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
        return fused_sum(snapshots_KE, weights_K)
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


def fused_sum(snapshots_KE: torch.Tensor, weights_K: Sequence[float]) -> torch.Tensor:
    """The sum as one kernel: a loop over K inside, nothing in between.

    It is compiled for each K and dtype, and for any number of elements: another shape costs no compilation, and has
    the same bits.

    Raises:
        RuntimeError: it cannot be compiled. It is never replaced by a sum in plain torch.
    """
    features = snapshots_KE.shape[1:]
    width = _VECTOR if features.numel() % _VECTOR == 0 else 1
    flat_KEV = snapshots_KE.view(len(snapshots_KE), features.numel() // width, width)
    torch._dynamo.mark_dynamic(flat_KEV, 1)
    dtype = torch.promote_types(snapshots_KE.dtype, torch.float32)
    weights = torch.tensor(list(weights_K), dtype=dtype, device=snapshots_KE.device)
    return _kernel()(flat_KEV, weights).view(features)


def compile_sum(snapshots_KE: torch.Tensor) -> None:
    """Compile what `weighted_sum` of these snapshots will run, where that is compiled; whatever they hold."""
    if snapshots_KE.device.type == "cuda":
        with torch.no_grad():  # as forecasts run: with gradients it is another kernel to torch
            fused_sum(snapshots_KE, [0.0] * len(snapshots_KE))


def check_compiler(device: torch.device) -> None:
    """See that the kernel of `weighted_sum` can be compiled for `device`, before anything rests on it.

    Raises:
        RuntimeError: it cannot; the message says what is missing.
    """
    if device.type != "cuda":
        return
    try:
        compile_sum(torch.zeros(1, _VECTOR, device=device))
    except (RuntimeError, ImportError) as error:
        raise RuntimeError(
            "forecasts on a GPU run a kernel that torch.compile makes with Triton and a C compiler, and it cannot be "
            "made here: install triton and gcc (or name a compiler in CC), or have all rounds full with "
            f"method=none: {error}"
        ) from error


@cache
def _kernel() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def add_up(snapshots_KEV: torch.Tensor, weights_K: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(snapshots_KEV[0], dtype=weights_K.dtype)
        for k in range(snapshots_KEV.shape[0]):
            # Not a product alone: what a snapshot without weight holds (nothing yet, or infinity) must not count.
            term = snapshots_KEV[k].to(total.dtype) * weights_K[k]
            total = total + torch.where(weights_K[k] == 0, 0.0, term)
        return total.to(snapshots_KEV.dtype)

    compiled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.compile(  # type: ignore[call-overload]
        add_up, dynamic=False, fullgraph=True, recompile_limit=_MOST_KERNELS
    )
    return compiled
