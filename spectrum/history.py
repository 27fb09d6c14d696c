"""The features of past full rounds, of one branch, on one rank."""

import torch


class History:
    """Snapshots of one branch's features (this rank's token slice only), in one buffer allocated once.

    The forecast is one weighted sum over the snapshots. No copy of the history in another dtype is made; the sum
    is kept in float32 (float64 for float64 features). Being elementwise, the forecast of a slice of the tokens is
    the slice of the whole's forecast, bit for bit.
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
        self._snapshots: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the snapshots, ascending: the `times` of the forecast weights."""
        return tuple(self._steps)

    @property
    def num_bytes(self) -> int:
        """Bytes of the buffer, full or not."""
        return 0 if self._snapshots is None else self._snapshots.nbytes

    @property
    def snapshots(self) -> torch.Tensor | None:
        """The snapshots, oldest first, (K, *features); None while there are none. A view, not a copy."""
        return None if self._snapshots is None else self._snapshots[: len(self)]

    def append(self, step: int, features: torch.Tensor) -> None:
        """Keep a copy of the features of the full round at `step`.

        Args:
            step: later than all before it.
            features: any shape and floating dtype, the same at every call.

        Raises:
            ValueError: the history is full, `step` is not later, or the features' shape or dtype changed.
        """
        if len(self) == self._capacity:
            raise ValueError(f"the history holds {self._capacity} snapshots and is full at step {step}")
        if self._steps and step <= self._steps[-1]:
            raise ValueError(f"step {step} is not after step {self._steps[-1]}, the newest in the history")
        if self._snapshots is None:
            self._snapshots = features.new_empty((self._capacity, *features.shape))
        if features.shape != self._snapshots.shape[1:] or features.dtype != self._snapshots.dtype:
            raise ValueError(
                f"features of shape {tuple(features.shape)} and {features.dtype} do not fit a history of "
                f"{tuple(self._snapshots.shape[1:])} and {self._snapshots.dtype}"
            )
        self._snapshots[len(self)].copy_(features.detach())
        self._steps.append(step)

    def forecast(self, weights_K: torch.Tensor) -> torch.Tensor:
        """Σₖ weightsₖ · snapshotₖ, of the features' shape and dtype.

        Args:
            weights_K: on the CPU, one weight for each snapshot, oldest first.

        Raises:
            ValueError: the number of weights is not the number of snapshots, or there are none.
        """
        if self._snapshots is None or len(weights_K) != len(self):
            raise ValueError(f"{len(weights_K)} weights for a history of {len(self)} snapshots")
        dtype = self._snapshots.dtype
        total = torch.zeros(
            self._snapshots.shape[1:],
            dtype=torch.promote_types(dtype, torch.float32),
            device=self._snapshots.device,
        )
        for weight, snapshot in zip(weights_K.tolist(), self._snapshots, strict=False):
            if weight != 0:
                total.add_(snapshot, alpha=weight)
        return total.to(dtype)
