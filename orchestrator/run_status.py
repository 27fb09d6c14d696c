"""The state of a run, read from its files alone: while it goes on, after it ended, or after it died."""

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from orchestrator.artifacts import RunFolder, VideoFolder
from orchestrator.durations import format_seconds
from orchestrator.errors import BadInput
from orchestrator.role import Role

STALE_SECONDS = 60.0
"""A launch that has not renewed its file for so long counts as dead."""
_SAME_SECONDS = 2.0
"""By which a process's beginning may differ between two looks at it, as the clock is set."""


class State(StrEnum):
    """What has become of a video."""

    DONE = "done"
    UNDER_WAY = "under way"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderWay:
    """What a gang is doing, or was when its launch died."""

    shard: str
    gang: str
    nodes: tuple[str, ...]
    stage: str
    step: int
    num_steps: int
    round: str | None
    video_since: datetime
    stage_since: datetime
    stale: str | None
    """Why nobody is at work on it any more; None where somebody is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a video was set aside."""

    error: str
    attempts: int | None

    @property
    def reason(self) -> str:
        """The error's last line: of a traceback, what was raised."""
        lines = [line for line in self.error.split("\n") if line.strip()]
        return lines[-1] if lines else "no error is given"


@dataclass(kw_only=True, slots=True)
class VideoStatus:
    """One video."""

    video_id: str
    state: State = State.WAITING
    name: str | None = None
    prompt: str | None = None
    """None where no launch's file names the video."""
    seed: int | None = None
    priority: int = 0
    role: str = Role.BATCH
    """Whether it is one of the batch, or rendered to compare with one."""
    under_way: UnderWay | None = None
    failure: Failure | None = None


@dataclass(kw_only=True, slots=True)
class LaunchStatus:
    """The latest launch of a shard."""

    shard: str
    job: str
    host: str
    pid: int
    began: datetime
    phase: str | None = None
    """What it is doing; None once it has ended."""
    stale: str | None = None
    """Why it is dead though it has not ended."""
    video_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A run: its launches, and its videos by id."""

    root: Path
    launches: list[LaunchStatus]
    videos: dict[str, VideoStatus]
    """Of the batch."""
    references: dict[str, VideoStatus] = field(default_factory=dict)
    """Rendered to compare videos of the batch with."""

    def in_state(self, state: State) -> list[VideoStatus]:
        """The videos in this state, in the order of the launches' files."""
        return [video for video in self.videos.values() if video.state is state]


def read_run(root: Path, *, now: datetime | None = None) -> RunStatus:
    """The state of the run in a folder.

    Raises:
        BadInput: it is no run's folder, or a launch's file is damaged.
    """
    run_folder = RunFolder(root)
    shards, present = run_folder.launched_shards(), run_folder.video_ids()
    if not run_folder.launches.is_dir() and not any(run_folder.video(video_id).is_done for video_id in present):
        raise BadInput(_no_run(root))
    videos: dict[str, VideoStatus] = {}
    references: dict[str, VideoStatus] = {}
    launches = [_read_launch(run_folder, shard, videos, references) for shard in shards]
    for launch in launches:
        for video_id, under_way in _read_progress(run_folder, launch, now or datetime.now(UTC)):
            video = references.get(video_id) or videos.setdefault(video_id, VideoStatus(video_id=video_id))
            if video.under_way is None or video.under_way.stale:
                video.state, video.under_way = State.UNDER_WAY, under_way
    for video_id in sorted(present):
        _look_at(run_folder.video(video_id), video_id, videos)
    for video_id in references:
        _look_at(run_folder.reference(video_id), video_id, references)
    return RunStatus(root=root, launches=launches, videos=videos, references=references)


def _no_run(root: Path) -> str:
    if not root.is_dir():
        return f"{root} is no folder: give the output folder of a launch, which its first lines name"
    below = sorted(path.parent.name for path in root.glob("*/launches"))
    advice = f"; below it are {', '.join(below[:5])}" if below else ""
    return f"{root} is no run: it has neither launches/ nor finished videos{advice}"


def _read_launch(
    run_folder: RunFolder, shard: str, videos: dict[str, VideoStatus], references: dict[str, VideoStatus]
) -> LaunchStatus:
    """The launch's first line; its videos are put among the others of their role."""
    path = run_folder.launch_entries(shard)
    try:
        with path.open(encoding="utf-8") as file:
            said = json.loads(next(file))
            launch = LaunchStatus(
                shard=shard,
                job=said["job_name"],
                host=said["host"],
                pid=said["pid"],
                began=datetime.fromisoformat(said["began"]),
            )
            for line in file:
                entry = json.loads(line)
                video_id = entry["video_id"]
                if entry.get("role", Role.BATCH) != Role.BATCH:
                    references[video_id] = VideoStatus(**entry)
                    continue
                launch.video_ids.append(video_id)
                if video_id not in videos:
                    videos[video_id] = VideoStatus(**entry)
    except (OSError, StopIteration, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is damaged ({type(error).__name__}: {error}): launch again, which writes it"
        ) from error
    return launch


def _read_progress(run_folder: RunFolder, launch: LaunchStatus, now: datetime) -> Iterator[tuple[str, UnderWay]]:
    """What the launch's gangs are doing, by video id. Nothing once it has ended."""
    path = run_folder.launch_progress(launch.shard)
    try:
        age = now.timestamp() - path.stat().st_mtime
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    launch.phase, launch.host, launch.pid = said["phase"], said["host"], said["pid"]
    launch.began = datetime.fromisoformat(said["began"])
    launch.stale = _death_of(said, age)
    for gang, at in said["gangs"].items():
        yield (
            at["video_id"],
            UnderWay(
                shard=launch.shard,
                gang=gang,
                nodes=tuple(at["nodes"]),
                stage=at["stage"],
                step=at["step"],
                num_steps=at["num_steps"],
                round=at["round"],
                video_since=datetime.fromisoformat(at["video_since"]),
                stage_since=datetime.fromisoformat(at["stage_since"]),
                stale=launch.stale,
            ),
        )


def _death_of(said: dict[str, Any], age: float) -> str | None:
    """Why a launch counts as dead; None if it lives."""
    if said["host"] == platform.node() and not _is_alive(said["pid"], said["process_began"]):
        return f"its process {said['pid']} is gone"
    if age > STALE_SECONDS:
        return f"no sign of life for {format_seconds(age)}"
    return None


def _is_alive(pid: int, began: float) -> bool:
    """Whether the process is there, and not another one that has got its number."""
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - began) < _SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _look_at(folder: VideoFolder, video_id: str, videos: dict[str, VideoStatus]) -> None:
    """What the video's own folder says, which is the last word."""
    if folder.is_done:
        video = videos.setdefault(video_id, VideoStatus(video_id=video_id))
        video.state, video.under_way = State.DONE, None
        return
    failure = read_failure(folder)
    if failure is not None:
        video = videos.setdefault(video_id, VideoStatus(video_id=video_id))
        video.failure = failure
        if video.under_way is None or video.under_way.stale:
            video.state, video.under_way = State.FAILED, None


def read_failure(folder: VideoFolder) -> Failure | None:
    """Why a video was set aside; None where it was not."""
    path = folder.failure
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Failure(error=str(said["error"]), attempts=said.get("attempts"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Failure(error=f"{path.name} cannot be read: {error}", attempts=None)
