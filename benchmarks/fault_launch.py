"""The main command in a process of its own: what it says, which processes are below it, and what it has kept."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

from orchestrator.artifacts import RunFolder, VideoFolder
from orchestrator.checkpoint_store import MANIFEST
from orchestrator.project import PROJECT
from orchestrator.reports import Stage

PROGRESS = re.compile(r"((?:gang|decoder) \d+)  ([0-9a-f]{16})  (?:encode|denoise|decode|publish)  step")
LOST = re.compile(r"((?:gang|decoder) \d+)  lost: ")
READY = re.compile(r"((?:gang|decoder) \d+)  ready on ")
_DONE = re.compile(r"((?:gang|decoder) \d+)  ([0-9a-f]{16})  done in ")
_SESSION = re.compile(r"session_\d{4}-\d\d-\d\d_[\d-]+_[\d_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a launch's log."""

    at: float
    """Seconds of the wall clock."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a gang or decode worker has at hand."""

    video_id: str
    began: float
    """Seconds of the wall clock."""


@dataclass(kw_only=True, slots=True)
class Launch:
    """One launch, from its start to its end."""

    process: subprocess.Popen[str]
    began: float
    lines: list[Line] = field(default_factory=list)
    everyone: set[psutil.Process] = field(default_factory=set)
    """Every process that was ever seen below it."""
    _sessions: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, arguments: Sequence[str], folder: Path) -> "Launch":
        """Begin; standard error is read line by line."""
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.launch", *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        launch = cls(process=process, began=time.time())
        Thread(target=launch._read, daemon=True).start()
        return launch

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(Line(at=time.time(), text=line.rstrip()))

    @property
    def is_running(self) -> bool:
        """Whether the driver is there."""
        return self.process.poll() is None

    def at_work(self) -> dict[str, Work]:
        """What each gang and decode worker has at hand, by name."""
        found: dict[str, Work] = {}
        for line in list(self.lines):
            if ended := (LOST.search(line.text) or _DONE.search(line.text)):
                found.pop(ended[1], None)
            elif "all gangs with it" in line.text:
                found.clear()
            elif (match := PROGRESS.search(line.text)) and (
                match[1] not in found or found[match[1]].video_id != match[2]
            ):
                found[match[1]] = Work(video_id=match[2], began=line.at)
        return found

    def family(self) -> list[psutil.Process]:
        """The driver and all below it."""
        try:
            root = psutil.Process(self.process.pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self.everyone.update(family)
        for one in family:
            self._sessions.update(_SESSION.findall(command_of(one)))
        return family

    def left(self) -> list[str]:
        """Command lines of what is still alive of it: seen before, of its session, or of its Ray."""
        alive = {one for one in self.everyone if is_alive(one)}
        for one in psutil.process_iter():
            if any(name in command_of(one) for name in self._sessions) or _session_of(one.pid) == self.process.pid:
                alive.update([one] if is_alive(one) else [])
        return [command_of(one)[:120] for one in alive]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What of an unfinished video is on the disk."""

    at: float
    """When it was written, in seconds of the wall clock."""
    step: int | None
    """The step that it goes on from; None where the latents are finished."""


def newest_kept(folder: VideoFolder) -> Kept | None:
    """The video's latents or its newest whole checkpoint."""
    try:
        if folder.latents.is_file():
            return Kept(at=folder.latents.stat().st_mtime, step=None)
        for manifest in sorted(folder.checkpoints.glob(f"*/{MANIFEST}"), reverse=True):
            return Kept(at=manifest.stat().st_mtime, step=json.loads(manifest.read_text())["step"])
    except FileNotFoundError:  # it was replaced meanwhile
        return newest_kept(folder)
    return None


def steps_under_way(run: Path, at_work: Mapping[str, Work]) -> dict[str, int]:
    """The step that each gang began last, from the launch's own file, which is a second old at most.

    None of a gang that denoised nothing by then, or another video.
    """
    try:
        record = json.loads(RunFolder(run).launch_progress("all").read_text())
    except (OSError, ValueError):
        return {}
    return {
        gang: at["step"]
        for gang, at in record["gangs"].items()
        if gang in at_work and at["video_id"] == at_work[gang].video_id and at["stage"] == Stage.DENOISE
    }


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs or is stopped; not where it is dead and nobody has asked for its status."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> str:
    """Its command line; empty where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
