"""What the page knows of a run: a line for every video, and everything of those that one looks at."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.artifacts import VideoFolder
from orchestrator.page.render_again import render_again
from orchestrator.pair import Likeness, PairRecord
from orchestrator.run_status import LaunchStatus, State, VideoStatus

_DIGITS = 4
"""After the point, of seconds and ratios."""


def script_value(value: object) -> str:
    """A value as a script says it, in ASCII alone: nothing in it ends a script or a line, whatever a prompt holds."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def read_json(folder: VideoFolder, state: State) -> dict[str, Any] | None:
    """The sidecar of a video that is done, the failure of one that was set aside; None where it cannot be read."""
    if state not in (State.DONE, State.FAILED):
        return None
    try:
        said = json.loads((folder.sidecar if state is State.DONE else folder.failure).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def summary_of(video: VideoStatus, said: Mapping[str, Any] | None) -> dict[str, Any]:
    """A video's line: what it is sorted and filtered by, and what is shown in the grid.

    Args:
        video: what its files say has become of it.
        said: what `read_json` gave.
    """
    line = {
        "id": video.video_id,
        "state": video.state.name.lower(),
        "name": video.name,
        "prompt": video.prompt,
        "seed": video.seed,
    }
    if video.state is State.DONE:
        line |= _figures(said or {})
    if video.under_way is not None:
        at = video.under_way
        line |= {"stage": at.stage, "step": at.step, "steps": at.num_steps, "gang": at.gang, "stale": at.stale}
    if video.failure is not None and video.state is State.FAILED:
        line |= {"error": video.failure.error, "attempts": video.failure.attempts}
    return {name: value for name, value in line.items() if value is not None}


def _figures(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Of a finished video; what a sidecar of another version does not say is left out."""
    request, seconds = _mapping(sidecar.get("request")), _mapping(sidecar.get("seconds"))
    plan = sidecar.get("plan")
    rounded = {
        "seconds": seconds.get("total"),
        "speedup": sidecar.get("estimated_speedup"),
    }
    return {
        "prompt": request.get("prompt"),
        "seed": request.get("seed"),
        "width": request.get("width"),
        "height": request.get("height"),
        "frames": request.get("num_frames"),
        "fps": request.get("fps"),
        "method": _mapping(request.get("forecast")).get("method"),
        "full": sidecar.get("num_full_rounds"),
        "steps": len(plan) if isinstance(plan, list) else None,
        "finished": _mapping(sidecar.get("provenance")).get("finished"),
        **{name: round(value, _DIGITS) for name, value in rounded.items() if isinstance(value, int | float)},
    }


def details_of(state: State, said: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a video's own view shows besides its line."""
    if state is State.FAILED:
        return {"failure": said}
    return {"sidecar": said, "command": render_again(said or {})}


def pair_of(record: PairRecord, reference: Mapping[str, Any] | None, folder: str) -> dict[str, Any]:
    """What is shown of a pair.

    Args:
        record: what was measured.
        reference: the sidecar of the render with all rounds full.
        folder: where that render is, from the page.
    """
    figures = _figures(reference or {})
    return {
        "folder": folder,
        "seconds": figures.get("seconds"),
        "full": figures.get("full"),
        "likeness": _rounded(record.likeness),
        "floor": _rounded(record.floor),
        "hasFloor": record.pair.noise_floor is not None,
    }


def launch_of(launch: LaunchStatus) -> dict[str, Any]:
    """What is said of the latest launch of a shard."""
    return {
        "shard": launch.shard,
        "job": launch.job,
        "host": launch.host,
        "began": _time(launch.began),
        "phase": launch.phase,
        "stale": launch.stale,
    }


def _rounded(likeness: Likeness | None) -> dict[str, float] | None:
    return None if likeness is None else {"psnr": round(likeness.psnr, 2), "ssim": round(likeness.ssim, _DIGITS)}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
