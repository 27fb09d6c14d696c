"""Folders that look like those of the Wan models: the demo's, with their number of heads and without weights."""

import json
import shutil
from pathlib import Path

from orchestrator.project import PROJECT

HEADS = {"1.3b": 12, "14b": 40}


def make_wan_folder(parent: Path, size: str) -> Path:
    """`parent`/`size`, of "1.3b" or "14b"."""
    folder = parent / size
    shutil.copytree(PROJECT / "tiny_wan" / "weights", folder)
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes((2).to_bytes(8, "little") + b"{}")
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": HEADS[size]}))
    return folder
