"""Notice a job that is started again and again without getting any further."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.artifacts import publish_json

MOST_STALLS = 3
_VIDEO_ID = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """How far a run has come, from its files alone."""

    num_finished: int
    newest_ns: int
    """When the newest file of a video was written, checkpoints included; 0 where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarts:
    """What a job knew at its last start."""

    restart_count: int
    """SLURM_RESTART_COUNT."""
    stalls: int
    """Starts in a row that found the run as the start before had found it."""
    progress: RunProgress


def run_progress(run: Path) -> RunProgress:
    """How far the run has come: only what lies in the folders of videos counts, and only whole files.

    The videos are the batch's and those that they are compared with. What other jobs remove meanwhile is not counted.
    """
    files = [file for top in (run, run / "references") for folder in _videos_in(top) for file in _whole_files(folder)]
    finished = sum(file.name == "video.json" for file in files)
    return RunProgress(num_finished=finished, newest_ns=max(map(_written_ns, files), default=0))


def count_restart(path: Path, *, restart_count: int, progress: RunProgress) -> Restarts:
    """Compare with the last start, and write this one down.

    Args:
        path: where the job's starts are kept.
        restart_count: how often SLURM has started the job again; 0 at its first start.
        progress: as it is now.
    """
    last = _read(path) if restart_count else None
    stalled = last is not None and last.restart_count < restart_count and last.progress == progress
    now = Restarts(restart_count=restart_count, stalls=last.stalls + 1 if last and stalled else 0, progress=progress)
    publish_json(path, asdict(now))
    return now


def _videos_in(top: Path) -> list[Path]:
    _, names, _ = next(os.walk(top), ("", [], []))
    return [top / name for name in names if _VIDEO_ID.fullmatch(name)]


def _whole_files(folder: Path) -> Iterator[Path]:
    """Of all folders below; `os.walk` passes over one that is removed meanwhile, where `rglob` raises."""
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names if not name.startswith(".tmp-"))


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns if file.is_file() else 0
    except OSError:  # it was removed meanwhile
        return 0


def _read(path: Path) -> Restarts | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Restarts(**{**record, "progress": RunProgress(**record["progress"])})
    except FileNotFoundError:
        return None
