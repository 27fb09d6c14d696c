"""How often a video was tried, on the disk, so that it counts across launches."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from orchestrator.artifacts import VideoFolder, publish_json

CANCELLED = "cancelled"
"""Why a video was set aside that somebody does not want any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """Failed attempts in a row that came no further."""

    count: int = 0
    step: int = 0
    """The step that the video could go on from after the last of them."""


def read_attempts(folder: VideoFolder) -> Attempts:
    """Those of a video; none where nothing is noted, or cannot be read."""
    try:
        return Attempts(**json.loads(folder.attempts.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Attempts()


def note_failure(folder: VideoFolder, before: Attempts, *, step: int) -> Attempts:
    """Count a failed attempt of a video that can go on from `step`; from one, if it has come further than before."""
    now = Attempts(count=1 if step > before.step else before.count + 1, step=step)
    publish_json(folder.attempts, asdict(now))
    return now


def set_aside(folder: VideoFolder, *, attempts: int | None, cause: str, details: str) -> None:
    """Write `failed.json`: the video is not tried again until it is asked for. None where it was not for failing."""
    publish_json(
        folder.failure,
        {
            "error": cause,
            "attempts": attempts,
            "failed": datetime.now(UTC).isoformat(timespec="seconds"),
            "traceback": details,
        },
    )


def forget_failures(folder: VideoFolder) -> None:
    """As if the video had never failed."""
    folder.attempts.unlink(missing_ok=True)
    folder.failure.unlink(missing_ok=True)
