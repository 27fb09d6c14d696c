"""Results on disk: a run that is broken off goes on, and of changed rows alone are videos rendered again."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_model import fingerprint
from benchmarks.quality_rows import Row
from orchestrator.request import Request, content_hash

REVISION = 1
"""To be raised where code, and not settings, changes what is rendered or measured."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with one line of JSON for each video, and the frames of those with all rounds full.

    Several processes may write at once: a line is one write to the end of the file. A line that a killed process has
    left half written is no result.
    """

    folder: Path
    model: str
    """The model's fingerprint."""

    @classmethod
    def of_demo_model(cls, folder: Path) -> "Store":
        """The results of the model that ships with the project, in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, fingerprint())

    def key(self, row: Row, base: Request) -> str:
        """Content hash of all that decides a result."""
        return content_hash({**row.as_json(base), "model": self.model, "revision": REVISION})

    def read(self) -> dict[str, dict[str, Any]]:
        """All results, by key."""
        if not self._file.is_file():
            return {}
        found = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # of a process that was killed; its video is rendered again
            found[str(record["key"])] = record
        return found

    def append(self, record: dict[str, Any]) -> None:
        """Add one result, with its "key"."""
        line = json.dumps(record, separators=(",", ":")) + "\n"
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def frames(self, key: str) -> NDArray[np.uint8] | None:
        """The frames that were kept under `key`."""
        file = self._frames_file(key)
        if not file.is_file():
            return None
        with np.load(file) as arrays:
            frames: NDArray[np.uint8] = arrays["frames"]
        return frames

    def keep_frames(self, key: str, frames: NDArray[np.uint8]) -> None:
        """Keep frames under `key`; whole or not at all."""
        file = self._frames_file(key)
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(temporary, frames=frames)
        temporary.replace(file)

    @property
    def _file(self) -> Path:
        return self.folder / "results.jsonl"

    def _frames_file(self, key: str) -> Path:
        return self.folder / "references" / f"{key}.npz"
