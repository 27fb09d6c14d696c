"""Where each video of a batch stands when a launch begins, by the files that earlier ones have left."""

from collections.abc import Iterable
from enum import StrEnum

from orchestrator.artifacts import RunFolder, VideoFolder

SET_ASIDE_BEFORE = "set aside by an earlier launch; retry.failed=true tries it again"


class Standing(StrEnum):
    """Of one video."""

    DONE = "done"
    SET_ASIDE = "set aside"
    BEGUN = "begun"  # something of it is kept
    UNTOUCHED = "untouched"


def standings(run_folder: RunFolder, video_ids: Iterable[str]) -> dict[str, Standing]:
    """Of all, in their order."""
    present = _present(run_folder)
    return {
        video_id: _standing(run_folder.video(video_id)) if video_id in present else Standing.UNTOUCHED
        for video_id in video_ids
    }


def done_ids(run_folder: RunFolder, video_ids: Iterable[str]) -> list[str]:
    """Those that are done, in their order."""
    present = _present(run_folder)
    return [video_id for video_id in video_ids if video_id in present and run_folder.video(video_id).is_done]


def _present(run_folder: RunFolder) -> set[str]:
    """Those that may have a folder, from one listing: the file system is not asked for each untouched video."""
    return run_folder.video_ids() | run_folder.reference_ids


def _standing(folder: VideoFolder) -> Standing:
    if folder.is_done:
        return Standing.DONE
    if folder.failure.is_file():
        return Standing.SET_ASIDE
    return Standing.BEGUN if folder.is_begun else Standing.UNTOUCHED
