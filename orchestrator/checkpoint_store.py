"""The checkpoints of one video on the disk: generations, of which the newest whole one counts.

    <video>/.checkpoints/<generation>/rank-0.safetensors …    each rank's own state (state full)
                                     latents.safetensors       the whole video's latents and solver, by rank 0
                                     manifest.json             written last: names, sizes, sha256

Files are written by all ranks at once. The older generation is removed once the newer one's manifest is there, so
that at every moment a whole one is on the disk.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.artifacts import publish_json, sha256_of

MANIFEST = "manifest.json"
LATENTS = "latents.safetensors"
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A checkpoint that was written to its end."""

    folder: Path
    step: int
    layout: str
    """The layout whose ranks' files it holds."""
    files: dict[str, str]
    """sha256 by name."""

    def holds_states_of(self, layout: str) -> bool:
        """Whether the ranks of this layout can go on from states of their own."""
        return layout == self.layout and rank_file(0) in self.files

    def path(self, name: str) -> Path:
        """A file of it.

        Raises:
            ValueError: it is not there, or not as it was written.
        """
        path = self.folder / name
        if name not in self.files:
            raise ValueError(f"{self.folder} has no {name}")
        if not path.is_file() or sha256_of(path) != self.files[name]:
            raise ValueError(f"{path} is not as it was written")
        return path


def rank_file(rank: int) -> str:
    """Name of a rank's own state."""
    return f"rank-{rank}.safetensors"


def new_generation(root: Path) -> Path:
    """A folder for the next checkpoint below `root`; it is not made yet."""
    numbers = [int(one.name) for one in _folders(root)]
    return root / f"{max(numbers, default=0) + 1:06d}"


def publish_manifest(folder: Path, *, step: int, layout: str, files: dict[str, str]) -> None:
    """Make a generation count, and remove those before it."""
    publish_json(folder / MANIFEST, {"version": VERSION, "step": step, "layout": layout, "files": files})
    for other in _folders(folder.parent):
        if int(other.name) < int(folder.name):
            shutil.rmtree(other, ignore_errors=True)


def generations(root: Path) -> list[Generation]:
    """The checkpoints below `root` that were written to their end, the newest first."""
    found = []
    for folder in sorted(_folders(root), reverse=True):
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["version"] == VERSION:
                found.append(
                    Generation(
                        folder=folder, step=manifest["step"], layout=manifest["layout"], files=manifest["files"]
                    )
                )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # broken off before its manifest, or damaged: it does not count
    return found


def remove_all(root: Path) -> None:
    """Remove every checkpoint of a video."""
    shutil.rmtree(root, ignore_errors=True)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [one for one in root.iterdir() if one.name.isdigit() and one.is_dir()]
