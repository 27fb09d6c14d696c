"""What was learned about one model from its own features: which rounds to run, and with what weights to forecast."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from spectrum.plan import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibratedFor:
    """What a calibration holds for, and nothing else."""

    model: str
    """Fingerprint of the model."""
    solver: str
    num_steps: int
    flow_shift: float
    guidance_scale: float

    def differences(self, other: "CalibratedFor") -> list[str]:
        """Each field that differs, as "name=own, not other's"."""
        own, others = asdict(self), asdict(other)
        return [f"{name}={own[name]}, not {others[name]}" for name in own if own[name] != others[name]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """A plan, and the weights of its forecasts.

    Raises:
        ValueError: steps and weights do not belong together.
    """

    made_for: CalibratedFor
    full_steps: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...] = ()
    """For each step from 1 on, full or not, those of the newest snapshots before it, oldest first; or none at all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "full_steps", tuple(self.full_steps))
        object.__setattr__(self, "weights", tuple(tuple(one) for one in self.weights))
        num_steps = self.made_for.num_steps
        if self.weights and len(self.weights) != num_steps - 1:
            raise ValueError(f"calibration has {len(self.weights)} lists of weights, {num_steps} steps need one less")
        for step, weights in enumerate(self.weights, start=1):
            earlier = sum(one < step for one in self.full_steps)
            if not 1 <= len(weights) <= earlier:
                raise ValueError(
                    f"calibration has {len(weights)} weights at step {step}, after {earlier} full rounds"
                )

    @property
    def plan(self) -> Plan:
        """The rounds."""
        return Plan.from_full_steps(self.made_for.num_steps, self.full_steps)

    @property
    def num_snapshots(self) -> int:
        """The most snapshots that a forecast uses."""
        return max((len(one) for one in self.weights), default=1)

    def weights_at(self, step: int, num_snapshots: int) -> torch.Tensor:
        """Weights of the newest `num_snapshots` snapshots in the forecast of `step`.

        Returns:
            float64 on the CPU, shape (num_snapshots,).

        Raises:
            ValueError: there are no weights for `step`, or the history is shorter than they are.
        """
        if not 1 <= step <= len(self.weights):
            raise ValueError(f"the calibration has no weights for step {step}")
        own = self.weights[step - 1]
        if len(own) > num_snapshots:
            raise ValueError(f"step {step} is calibrated for {len(own)} snapshots, there are {num_snapshots}")
        return torch.tensor([0.0] * (num_snapshots - len(own)) + list(own), dtype=torch.float64)


def calibration_of(value: "Calibration | dict[str, Any] | None") -> "Calibration | None":
    """A calibration from plain values, as a configuration file gives them.

    Raises:
        ValueError: a field is missing or unknown, or fields do not belong together.
    """
    if value is None or isinstance(value, Calibration):
        return value
    try:
        made_for = value["made_for"]
        return Calibration(
            made_for=made_for if isinstance(made_for, CalibratedFor) else CalibratedFor(**made_for),
            **{name: _tuple(field) for name, field in value.items() if name != "made_for"},
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"calibration must hold made_for, full_steps and weights: {error}") from error


def _tuple(value: Any) -> Any:
    return (
        tuple(_tuple(one) for one in value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    )
