"""Whether an earlier run has what a launch is about to render, in another folder."""

import os
from collections.abc import Collection
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

from orchestrator.artifacts import RunFolder
from orchestrator.standing import done_ids

MOST_FOLDERS = 50
"""The newest of the job's folders are looked into."""


def find_earlier(run_folder: RunFolder, video_ids: Collection[str]) -> tuple[Path, int] | None:
    """The folder of an earlier run of the job in which most of the videos are done, and how many.

    A folder is named after the job and a hash of all its videos: one more row in a manifest, and it is another.

    Returns:
        None where there is no such folder, or this launch's own is there already.
    """
    own = run_folder.root
    job, dash, _ = own.name.rpartition("-")
    if not dash or own.exists():
        return None
    most, best = 0, own
    for path in _newest(own.parent, job):
        with suppress(OSError):  # another user's own folder, or one that is just being removed
            number = len(done_ids(RunFolder(path), video_ids))
            most, best = max((most, best), (number, path), key=itemgetter(0))
    return (best, most) if most else None


def _newest(parent: Path, job: str) -> list[Path]:
    """Folders of the job's runs, the newest first."""
    found: list[tuple[float, Path]] = []
    with suppress(OSError), os.scandir(parent) as entries:
        for one in entries:
            with suppress(OSError):
                if one.name.rpartition("-")[0] == job and one.is_dir():
                    found.append((one.stat().st_mtime, Path(one.path)))
    return [path for _, path in sorted(found, reverse=True)[:MOST_FOLDERS]]
