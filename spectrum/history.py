"""The features of past full rounds, of one branch, on one rank."""

from collections.abc import Sequence

import torch

from spectrum.weighted_sum import compile_sum, weighted_sum

_GRAM_CHUNK = {"cpu": 2**17, "cuda": 2**24}
"""Elements multiplied at a time: on the CPU they stay in the cache; on a GPU few launches count for more."""


class History:
    """The newest snapshots of one branch's features (this rank's token slice only), in one buffer allocated once.

    The buffer is a ring: a snapshot that no longer fits takes the oldest one's place. Memory is flat from the first
    snapshot to the last, and known before: capacity × the features' bytes.

    The forecast is one weighted sum over the snapshots; see `spectrum.weighted_sum`. Being elementwise, the forecast
    of a slice of the tokens is the slice of the whole's forecast, bit for bit.
    """

    def __init__(self, capacity: int) -> None:
        """Room for `capacity` snapshots; memory is taken when the first one shows their shape and dtype.

        Raises:
            ValueError: `capacity` is below 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity={capacity} must be at least 1")
        self._capacity = capacity
        self._steps: list[int] = []
        self._slots: list[int] = []
        self._buffer: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def capacity(self) -> int:
        """The most snapshots that are kept."""
        return self._capacity

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the snapshots, ascending: the `times` of the forecast weights."""
        return tuple(self._steps)

    @property
    def num_bytes(self) -> int:
        """Bytes of the buffer, full or not."""
        return 0 if self._buffer is None else self._buffer.nbytes

    @property
    def snapshots(self) -> tuple[torch.Tensor, ...]:
        """The snapshots, oldest first, each of the features' shape. Views, not copies."""
        if self._buffer is None:
            return ()
        return tuple(self._buffer[slot] for slot in self._slots)

    def stored(self) -> tuple[tuple[int, ...], torch.Tensor | None]:
        """The snapshots as they lie in the buffer, `(K, *features)`, and the step of each; for `restore`."""
        by_slot = sorted(zip(self._slots, self._steps, strict=True))
        return tuple(step for _, step in by_slot), None if self._buffer is None else self._buffer[: len(self)]

    def restore(self, steps: Sequence[int], snapshots_KE: torch.Tensor) -> None:
        """Take up what `stored` gave: in the same places, so that sums add up in the same order, bit for bit.

        Raises:
            ValueError: there are more snapshots than fit.
        """
        if len(steps) > self._capacity:
            raise ValueError(f"{len(steps)} snapshots do not fit a history of {self._capacity}")
        self._buffer = snapshots_KE.new_empty((self._capacity, *snapshots_KE.shape[1:]))
        compile_sum(self._buffer)
        self._buffer[: len(steps)].copy_(snapshots_KE)
        in_order = sorted(zip(steps, range(len(steps)), strict=True))
        self._steps, self._slots = [step for step, _ in in_order], [slot for _, slot in in_order]

    def append(self, step: int, features: torch.Tensor) -> None:
        """Keep a copy of the features of the full round at `step`; of a full history the oldest is dropped.

        Args:
            step: later than all before it.
            features: any shape and floating dtype, the same at every call.

        Raises:
            ValueError: `step` is not later, or the features' shape or dtype changed.
        """
        if self._steps and step <= self._steps[-1]:
            raise ValueError(f"step {step} is not after step {self._steps[-1]}, the newest in the history")
        if self._buffer is None:
            self._buffer = features.new_empty((self._capacity, *features.shape))
            compile_sum(self._buffer)  # now, and not in the first forecast round, whose seconds count
        if features.shape != self._buffer.shape[1:] or features.dtype != self._buffer.dtype:
            raise ValueError(
                f"features of shape {tuple(features.shape)} and {features.dtype} do not fit a history of "
                f"{tuple(self._buffer.shape[1:])} and {self._buffer.dtype}"
            )
        slot = len(self)
        if slot == self._capacity:
            slot = self._slots.pop(0)
            self._steps.pop(0)
        self._buffer[slot].copy_(features.detach())
        self._slots.append(slot)
        self._steps.append(step)

    def forecast(self, weights_K: torch.Tensor) -> torch.Tensor:
        """Σₖ weightsₖ · snapshotₖ, of the features' shape and dtype.

        Args:
            weights_K: on the CPU, one weight for each snapshot, oldest first.

        Raises:
            ValueError: the number of weights is not the number of snapshots, or there are none.
        """
        if self._buffer is None or len(weights_K) != len(self):
            raise ValueError(f"{len(weights_K)} weights for a history of {len(self)} snapshots")
        by_slot = [0.0] * self._capacity
        for slot, weight in zip(self._slots, weights_K.tolist(), strict=True):
            by_slot[slot] = weight
        return weighted_sum(self._buffer, by_slot)

    def inner_products(self, features: torch.Tensor) -> torch.Tensor:
        """⟨snapshotₖ, features⟩ for every k, oldest first, and last ⟨features, features⟩.

        Over this rank's slice: summed over the ranks they are the whole's.

        Returns:
            float64 on the CPU, shape (K + 1,).
        """
        return inner_products([*self.snapshots, features], features)


def inner_products(many: Sequence[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """⟨one, features⟩ for each of `many`, in float64 throughout: errors are differences of nearly equal ones.

    No copy of more than a chunk is made in another dtype.

    Returns:
        float64 on the CPU, shape (len(many),).
    """
    flat_E = features.detach().reshape(-1)
    size = _GRAM_CHUNK.get(flat_E.device.type, _GRAM_CHUNK["cpu"])
    totals = [torch.zeros((), dtype=torch.float64, device=flat_E.device) for _ in many]
    for begin in range(0, flat_E.numel(), size):
        chunk = flat_E[begin : begin + size].double()
        for one, total in zip(many, totals, strict=True):
            total.add_(torch.dot(one.reshape(-1)[begin : begin + size].double(), chunk))
    return torch.stack(totals).cpu()
