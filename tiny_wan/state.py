"""The folder outside the repository where training keeps what it needs to go on after a stop."""

import os
from pathlib import Path
from typing import Any

import torch

DEFAULT_STATE = "~/.cache/spectrum-orchestrator/tiny_wan"


def state_folder(folder: str | None = None) -> Path:
    """The folder given, or that of the variable TINY_WAN_STATE, or one in the user's cache; created if missing."""
    path = Path(folder or os.environ.get("TINY_WAN_STATE") or DEFAULT_STATE).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def save(path: Path, values: dict[str, Any]) -> None:
    """Write a state file whole or not at all."""
    partial = path.with_name(path.name + ".tmp")
    torch.save(values, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a state file; None where there is none yet."""
    if not path.exists():
        return None
    values: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return values
