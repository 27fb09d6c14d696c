"""Whether an earlier run has what a launch is about to render, in another folder."""

import os
from collections.abc import Collection
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
    if not dash or own.exists() or not own.parent.is_dir():
        return None
    with os.scandir(own.parent) as found:
        others = [one for one in found if one.name.rpartition("-")[0] == job and one.is_dir()]
    newest = sorted(others, key=lambda one: one.stat().st_mtime, reverse=True)[:MOST_FOLDERS]
    counted = [(len(done_ids(RunFolder(Path(one.path)), video_ids)), one.path) for one in newest]
    most, path = max(counted, default=(0, ""))
    return (Path(path), most) if most else None
