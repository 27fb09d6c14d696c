"""What a checkpoint holds: everything of one video on one rank, in one safetensors file.

Tensors by name: `tokens`, `gram`, `history.<name>`, `embeds.<branch>`, `solver.<name>`. The counters stand in the
file's own metadata. Nothing in it is code: a checkpoint from elsewhere cannot run anything.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from orchestrator.artifacts import publish, sha256_of
from orchestrator.reports import RoundReport
from orchestrator.solver import SolverState
from spectrum import Round

CHECKPOINT_VERSION = 3
_META = "spectrum-orchestrator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """One rank's state between two segments."""

    step: int
    """The next step to take."""
    tokens: torch.Tensor
    """The rank's slice of the latents, (1, tokens, values)."""
    embeds: dict[str, torch.Tensor]
    """By branch, (1, text tokens, text width)."""
    history_steps: dict[str, tuple[int, ...]]
    """By branch, the steps of the snapshots, in the order of `snapshots`."""
    snapshots: dict[str, torch.Tensor]
    """By branch, `(K, *features)` as they lie in the buffer; no entry for an empty history."""
    gram: torch.Tensor
    """Inner products of the snapshots, (K, K)."""
    full_steps: tuple[int, ...]
    """The plan so far."""
    fallback_step: int | None
    """The full round to come that replaces a forecast which is not trusted."""
    solver: SolverState
    has_stand_in: bool
    """Whether the request's weights, calibrated for a history that was lost, are replaced; see `freezing`."""
    rounds: tuple[RoundReport, ...]
    """The rounds so far."""
    resumed: tuple[str, ...] = ()
    """Where the video was taken up again before."""


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> str:
    """Publish a checkpoint; the file is there whole or not at all.

    Returns:
        sha256 of the file.
    """
    tensors = {"tokens": checkpoint.tokens, "gram": checkpoint.gram}
    tensors |= {f"embeds.{branch}": tensor for branch, tensor in checkpoint.embeds.items()}
    tensors |= {f"history.{branch}": tensor for branch, tensor in checkpoint.snapshots.items()}
    tensors |= {f"solver.{name}": tensor for name, tensor in checkpoint.solver.tensors.items()}
    counters = {
        "version": CHECKPOINT_VERSION,
        "step": checkpoint.step,
        "history_steps": checkpoint.history_steps,
        "full_steps": checkpoint.full_steps,
        "fallback_step": checkpoint.fallback_step,
        "has_stand_in": checkpoint.has_stand_in,
        "solver": {
            "step": checkpoint.solver.step,
            "lower_order_nums": checkpoint.solver.lower_order_nums,
            "order": checkpoint.solver.order,
        },
        "rounds": [asdict(one) for one in checkpoint.rounds],
        "resumed": checkpoint.resumed,
    }
    # Cloned, as the file format refuses tensors that share memory, which slices and the solver's samples may do.
    stored = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with publish(path) as temporary:
        save_file(stored, temporary, metadata={_META: json.dumps(counters)})
        return sha256_of(temporary)


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint as it was written, its tensors on the CPU.

    Raises:
        ValueError: the file is no checkpoint, is damaged, or was written by another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            counters = json.loads((file.metadata() or {})[_META])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no whole checkpoint: {error}") from error
    if counters["version"] != CHECKPOINT_VERSION:
        raise ValueError(f"{path} has checkpoint version {counters['version']}, this program {CHECKPOINT_VERSION}")
    return Checkpoint(
        step=counters["step"],
        tokens=tensors["tokens"],
        embeds=_group(tensors, "embeds."),
        history_steps={branch: tuple(steps) for branch, steps in counters["history_steps"].items()},
        snapshots=_group(tensors, "history."),
        gram=tensors["gram"],
        full_steps=tuple(counters["full_steps"]),
        fallback_step=counters["fallback_step"],
        has_stand_in=counters["has_stand_in"],
        solver=SolverState(tensors=_group(tensors, "solver."), **counters["solver"]),
        rounds=tuple(RoundReport(**{**one, "kind": Round(one["kind"])}) for one in counters["rounds"]),
        resumed=tuple(counters["resumed"]),
    )


def _group(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
