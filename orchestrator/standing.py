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
    return {video_id: _standing(run_folder.video(video_id)) for video_id in video_ids}


def _standing(folder: VideoFolder) -> Standing:
    if folder.is_done:
        return Standing.DONE
    if folder.failure.is_file():
        return Standing.SET_ASIDE
    return Standing.BEGUN if folder.is_begun else Standing.UNTOUCHED
