"""Flat gradients, the two optimisers, the moving average of the weights, and the learning rate's course."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class FlatGradients:
    """The gradients of all parameters in one buffer, so that workers average them in one collective.

    Every parameter's `grad` is a view of the buffer with the parameter's own strides; the buffer has `extra` more
    slots at its end for scalars that the workers want to share in the same collective.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], extra: int = 0) -> None:
        size = sum(p.numel() for p in parameters)
        self.buffer = torch.zeros(size + extra)
        self.gradients = self.buffer[:size]
        self.extra = self.buffer[size:]
        offset = 0
        for p in parameters:
            p.grad = torch.as_strided(self.buffer, p.size(), p.stride(), offset)
            offset += p.numel()

    def zero(self) -> None:
        """Forget the last step's gradients."""
        self.buffer.zero_()

    def clip(self, limit: float) -> float:
        """Scale the gradients down to the norm `limit`; returns the norm they had."""
        norm = float(self.gradients.norm())
        if norm > limit:
            self.gradients.mul_(limit / norm)
        return norm


def matrix_view(tensor: Tensor) -> Tensor:
    """A convolution's weight as (outputs, everything else), sharing memory in any dense memory format."""
    if tensor.ndim == 2:
        return tensor
    if tensor.is_contiguous():
        return tensor.view(tensor.shape[0], -1)
    return tensor.movedim(1, -1).view(tensor.shape[0], -1)


def as_matrix_parameter(parameter: nn.Parameter) -> nn.Parameter:
    """The same weight and gradient seen as a matrix: Muon takes nothing else."""
    assert parameter.grad is not None, "gradients are laid out first, see FlatGradients"
    matrix = nn.Parameter(matrix_view(parameter.data))
    matrix.grad = matrix_view(parameter.grad)
    return matrix


class Optimisers:
    """Muon on the matrices and AdamW on the rest, with one common course of the learning rate."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        muon_rate: float,
        adam_rate: float,
    ) -> None:
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.Muon(
                    [as_matrix_parameter(p) for p in matrices], lr=muon_rate, weight_decay=0.0, momentum=0.95
                ),
                muon_rate,
            ),
            (torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True), adam_rate),
        ]

    def step(self, factor: float) -> None:
        """One update at `factor` times the peak learning rates."""
        for optimiser, rate in self.parts:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Everything `load_state_dict` needs."""
        return [optimiser.state_dict() for optimiser, _ in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on where another object of the same layout stopped."""
        for (optimiser, _), state in zip(self.parts, states, strict=True):
            optimiser.load_state_dict(state)


class MovingAverage:
    """Exponential moving average of parameters; it starts fast and slows down to `decay`."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step`."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        torch._foreach_lerp_(self.values, list(self.parameters), weight)

    @torch.no_grad()
    def load(self, values: Sequence[Tensor]) -> None:
        """Continue from saved averages."""
        for own, saved in zip(self.values, values, strict=True):
            own.copy_(saved)


def learning_rate_factor(step: int, progress: float, *, warmup_steps: int = 50, final: float = 0.02) -> float:
    """Short linear warm-up, a plateau over the first third of the budget, then a linear fall to `final`."""
    warmup = min(1.0, (step + 1) / warmup_steps)
    fall = 1.0 if progress < 1 / 3 else 1.0 - (1.0 - final) * (min(progress, 1.0) - 1 / 3) * 1.5
    return warmup * fall
