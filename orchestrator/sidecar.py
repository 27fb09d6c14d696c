"""The record of a finished video: everything that one needs to know how it came about."""

import platform
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.artifacts import VideoFolder, publish_json, sha256_of
from orchestrator.project import PROJECT
from orchestrator.rank import RankSpec
from orchestrator.reports import RoundReport, Stage
from orchestrator.request import Request
from spectrum import Round

SIDECAR_VERSION = 2
_PACKAGES = ("spectrum-orchestrator", "torch", "diffusers", "transformers", "accelerate", "xfuser", "ray")


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a launch comes from: the same for all its videos."""

    job_name: str
    command: str
    git_revision: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How one video was rendered, as rank 0 saw it."""

    video_id: str
    request: Request
    stage_seconds: dict[Stage, float]
    rounds: tuple[RoundReport, ...]
    peak_memory_bytes: int
    """The largest of all ranks."""
    rank: RankSpec
    """Rank 0: model and layout."""
    device: str
    """Name of the device."""
    layout: dict[str, Any]
    """How the gang split the video; see `layout_record`."""
    resumed: tuple[str, ...] = ()
    """Where the video was taken up again, and from what."""


def layout_record(rank: RankSpec) -> dict[str, Any]:
    """How a gang splits a video, as the sidecar says it."""
    return {
        **asdict(rank.layout),
        "ranks": rank.layout.world_size,
        "engine": rank.engine.value,
        "shard_blocks": rank.shard_blocks,
    }


def publish_sidecar(folder: VideoFolder, result: Result, provenance: Provenance) -> None:
    """Write `video.json`, after which the video counts as done. The other files must be there."""
    publish_json(folder.sidecar, _as_json(folder, result, provenance))


def estimated_speedup(stage_seconds: dict[Stage, float], rounds: tuple[RoundReport, ...]) -> float:
    """How much longer the video would have taken with all rounds full, from its own rounds.

    The median full round stands for those that were not run. All stages count, not denoising alone.
    """
    full_seconds = median(one.seconds for one in rounds if one.kind is Round.FULL)
    spared = sum(full_seconds - one.seconds for one in rounds if one.kind is Round.FORECAST)
    total = sum(stage_seconds.values())
    return (total + spared) / total


def git_revision() -> str | None:
    """Commit of the project's checkout, with "-dirty" if files differ from it; None outside of a checkout."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def command_line() -> str:
    """The command that started this process, as one would type it."""
    return shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]])


def _as_json(folder: VideoFolder, result: Result, provenance: Provenance) -> dict[str, Any]:
    rank = result.rank
    return {
        "sidecar_version": SIDECAR_VERSION,
        "video_id": result.video_id,
        "request": result.request.as_json(),
        "model": {
            "name": rank.model.name,
            "folder": str(rank.model.folder),
            "fingerprint": rank.model.fingerprint,
            "dtype": rank.model.dtype.value,
            "text_device": rank.model.text_device.value,
        },
        "layout": result.layout,
        "decode": {
            "parallel": rank.decode_parallel,
            "worker": rank.decodes_only,
            "device": rank.device.value,
            "tiling": result.request.decode_tiling,
        },
        "device": result.device,
        "plan": [one.kind.value for one in result.rounds],
        "num_full_rounds": sum(one.kind is Round.FULL for one in result.rounds),
        "forecast_errors": {
            # JSON knows no NaN and no infinity.
            str(one.step): one.forecast_error if isfinite(one.forecast_error) else None
            for one in result.rounds
            if one.forecast_error is not None
        },
        "resumed": list(result.resumed),
        "fallback_steps": [one.step for one in result.rounds if one.is_fallback],
        "seconds": {
            "total": sum(result.stage_seconds.values()),
            "stages": {stage.value: seconds for stage, seconds in result.stage_seconds.items()},
            "rounds": [one.seconds for one in result.rounds],
        },
        "estimated_speedup": estimated_speedup(result.stage_seconds, result.rounds),
        "peak_memory_bytes": result.peak_memory_bytes,
        "files": {
            "video": {"name": folder.video.name, "sha256": sha256_of(folder.video)},
            "preview": {"name": folder.preview.name},
        },
        "provenance": {
            "job": provenance.job_name,
            "command": provenance.command,
            "git_revision": provenance.git_revision,
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "host": platform.node(),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in _PACKAGES},
        },
    }
