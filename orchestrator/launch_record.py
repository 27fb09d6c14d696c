"""What a launch leaves in files of itself, so that others know what it was asked for and what it is doing.

Two files for each shard: the videos of its latest launch, written before the first is begun; and what its gangs are
doing, replaced while it runs and removed at its end. After SIGKILL the latter stays: its age and its process tell.
"""

import json
import logging
import os
import platform
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

from orchestrator.artifacts import RunFolder, VideoFolder, publish, replace_json
from orchestrator.batch import BatchEntry
from orchestrator.role import Role
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress

log = logging.getLogger("orchestrator")

WRITE_SECONDS = 1.0
"""At most one file in so many seconds, however fast segments follow each other."""
HEARTBEAT_SECONDS = 15.0
"""How often the file's time is renewed while nothing changes: some rounds take minutes."""


def publish_entries(run_folder: RunFolder, shard: str, entries: Iterable[BatchEntry], provenance: Provenance) -> None:
    """Write the videos of a launch: first a line on the launch, then one for each, in the order of rendering."""
    process_began = datetime.fromtimestamp(psutil.Process().create_time(), UTC).isoformat(timespec="milliseconds")
    launch = {
        **asdict(provenance),
        "host": platform.node(),
        "pid": os.getpid(),
        "process_began": process_began,
        "began": _now(),
    }
    with publish(run_folder.launch_entries(shard)) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(launch, ensure_ascii=False) + "\n")
        for entry in entries:
            line = {
                "video_id": entry.video_id,
                "name": entry.name,
                "priority": entry.priority,
                "seed": entry.request.seed,
                "prompt": entry.request.prompt,
            }
            if entry.role is not Role.BATCH:
                line["role"] = entry.role.value
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class _At:
    """Where a gang is, and since when."""

    progress: GangProgress
    video_since: str
    stage_since: str

    def as_json(self, nodes: Sequence[str]) -> dict[str, Any]:
        at = self.progress
        return {
            "video_id": at.video_id,
            "stage": at.stage.value,
            "step": at.step,
            "num_steps": at.num_steps,
            "round": None if at.round is None else at.round.value,
            "fraction_done": at.fraction_done,
            "video_since": self.video_since,
            "stage_since": self.stage_since,
            "nodes": list(nodes),
        }


class LaunchRecord:
    """A view that keeps the file of what a launch is doing.

    What it is told costs microseconds: a thread of its own writes, at most once a second, and shows between the
    changes that the launch is alive.
    """

    def __init__(self, run_folder: RunFolder, shard: str) -> None:
        """Writes nothing before `open`."""
        self._path: Path = run_folder.launch_progress(shard)
        self._launch = {
            "host": platform.node(),
            "pid": os.getpid(),
            "process_began": psutil.Process().create_time(),
            "began": _now(),
        }
        self._phase = "starting"
        self._at: dict[str, _At] = {}
        self._nodes: dict[str, Sequence[str]] = {}
        self._changed = True
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to write, if that has not begun before."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._keep_writing, name="launch record", daemon=True)
        self._thread.start()

    def gang_ready(self, gang: str, nodes: Sequence[str]) -> None:
        """Note its machines."""
        with self._lock:
            self._nodes[gang] = nodes

    def gang_lost(self, gang: str, cause: str) -> None:
        """Forget what it was doing."""
        self._forget(gang)

    def video_failed(self, video_id: str, cause: str) -> None:
        """It has a file of its own."""

    def starting(self, what: str) -> None:
        """Note it. There are no gangs yet, or none any more."""
        with self._lock:
            self._at.clear()
        self._enter(what)

    def batch_begins(self, *, total: int, done: int) -> None:
        """Note it."""
        self._enter("rendering")

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Note it."""
        now = _now()
        with self._lock:
            before = self._at.get(gang)
            is_same_video = before is not None and before.progress.video_id == progress.video_id
            is_same_stage = is_same_video and before is not None and before.progress.stage is progress.stage
            self._at[gang] = _At(
                progress,
                video_since=before.video_since if before is not None and is_same_video else now,
                stage_since=before.stage_since if before is not None and is_same_stage else now,
            )
            self._changed = True

    def gang_idle(self, gang: str) -> None:
        """Forget what it was doing."""
        self._forget(gang)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """It has files of its own; its gang has been said to be idle, and may be at another."""

    def close(self) -> None:
        """Remove the file: nothing is under way any more."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._path.unlink(missing_ok=True)

    def _enter(self, phase: str) -> None:
        with self._lock:
            self._phase, self._changed = phase, True

    def _forget(self, gang: str) -> None:
        with self._lock:
            self._changed |= self._at.pop(gang, None) is not None

    def _keep_writing(self) -> None:
        renewed, is_failing = -HEARTBEAT_SECONDS, False
        while True:
            try:
                if self._write_if_changed():
                    renewed = monotonic()
                elif monotonic() - renewed >= HEARTBEAT_SECONDS:
                    os.utime(self._path)
                    renewed = monotonic()
                is_failing = False
            except OSError as error:  # a full disk: rendering says so itself where it matters
                if not is_failing:
                    log.warning("%s cannot be written: %s", self._path, error.strerror)
                is_failing = True
                with self._lock:
                    self._changed = True
            if self._closing.wait(WRITE_SECONDS):
                return

    def _write_if_changed(self) -> bool:
        with self._lock:
            if not self._changed:
                return False
            self._changed = False
            gangs = {gang: at.as_json(self._nodes.get(gang, ())) for gang, at in self._at.items()}
            state = {**self._launch, "phase": self._phase, "gangs": gangs}
        replace_json(self._path, state)
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
