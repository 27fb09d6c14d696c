"""Launches of the main command: many in one process, and ones that are watched and disturbed while they run."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from orchestrator.artifacts import sha256_of
from orchestrator.project import PROJECT

RAY_SESSION = re.compile(rb"session_\d{4}-\d\d-\d\d_[\d-]+_[\d_]+")
START_TIMEOUT = 120
"""Seconds until a launch must have come to where a test wants it, on a machine that does other things as well."""


@pytest.fixture(scope="session")
def launch_many(tmp_path_factory, command_environment) -> Callable[[Sequence[Sequence[str]]], list[dict]]:
    """`launch_many([["+job=demo", …], …])`: what each command line came to; see `launch_many.py`."""

    def run(command_lines: Sequence[Sequence[str]]) -> list[dict]:
        done = subprocess.run(
            [sys.executable, PROJECT / "tests" / "helpers" / "launch_many.py"],
            input=json.dumps([list(arguments) for arguments in command_lines]),
            cwd=tmp_path_factory.mktemp("cwd"),
            env=command_environment(HF_HUB_OFFLINE="1"),
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        return json.loads(done.stdout)

    return run


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a watched launch ended."""

    status: int
    seconds: float
    """From the signal to the end of the process."""
    stderr: str
    left: list[str]
    """Command lines of the processes that were still there afterwards."""
    saw_processes: int
    """Processes below the launch when the signal was sent."""
    saw_session: bool
    """Whether their command lines named a session of Ray."""


class WatchedLaunch:
    """The main command in a session of its own, its standard error read line by line."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.launch", *arguments],
            cwd=cwd,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    @property
    def stderr(self) -> str:
        """What it has written so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for(self, *texts: str) -> None:
        """Until a line holds the first text, a later one the second, and so on."""
        deadline = time.monotonic() + START_TIMEOUT
        position = 0
        for text in texts:
            with self._news:
                while True:
                    found = [at for at in range(position, len(self._lines)) if text in self._lines[at]]
                    if found:
                        position = found[0] + 1
                        break
                    left = deadline - time.monotonic()
                    assert left > 0 and self._reader.is_alive(), f"no {text!r} in:\n{''.join(self._lines)}"
                    self._news.wait(min(left, 1))

    def wait_for_process(self, name: str) -> psutil.Process:
        """Until a process below the launch has this in its command line; the youngest of them."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            found = [process for process in self.descendants() if name in command_of(process)]
            if found:
                return max(found, key=lambda process: process.create_time())
            time.sleep(0.02)
        pytest.fail(f"no process {name} in:\n{''.join(self._lines)}")

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, disturb: Callable[[], None], *, gone_within: float = 2.0) -> Ended:
        """Disturb it, wait for its end, and look for what is left so many seconds after that."""
        below = self.descendants()
        sessions = {name for process in below for name in RAY_SESSION.findall(raw_command_of(process.pid))}
        begin = time.monotonic()
        disturb()
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        seconds = time.monotonic() - begin
        self._reader.join(timeout=5)
        return Ended(
            status=status,
            seconds=seconds,
            stderr="".join(self._lines),
            left=wait_until_gone(below, sessions, self.process.pid, within=gone_within),
            saw_processes=len(below),
            saw_session=bool(sessions),
        )

    def interrupt(self) -> None:
        """As Ctrl-C does: the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """As a cluster does: the process that it has started."""
        self.process.terminate()


def wait_until_gone(
    below: list[psutil.Process], sessions: set[bytes], session_id: int, *, within: float
) -> list[str]:
    """Command lines of what is still there after some seconds: below the launch, of its session, of its Ray."""
    deadline = time.monotonic() + within
    while True:
        left = {process.pid for process in below if process.is_running() and is_alive(process.pid)}
        for pid in psutil.pids():
            command = raw_command_of(pid)
            if any(name in command for name in sessions) or session_of(pid) == session_id:
                left |= {pid} if is_alive(pid) else set()
        if not left or time.monotonic() > deadline:
            return [raw_command_of(pid).decode(errors="replace") for pid in left]
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def command_of(process: psutil.Process) -> str:
    return raw_command_of(process.pid).replace(b"\0", b" ").decode(errors="replace")


def raw_command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session")
def watch(tmp_path_factory, command_environment) -> Iterator[Callable[..., WatchedLaunch]]:
    """`watch("+job=demo", …)`: start the main command and watch it."""
    started = []

    def start(*arguments: str, **environment: str) -> WatchedLaunch:
        launched = WatchedLaunch(
            arguments, cwd=tmp_path_factory.mktemp("cwd"), environment=command_environment(**environment)
        )
        started.append(launched)
        return launched

    yield start
    for launched in started:
        if launched.process.poll() is None:  # a test has failed in between
            for process in [*launched.descendants(), launched.process]:
                process.kill()


@pytest.fixture(scope="session")
def state_of_finished() -> Callable[[Path], dict[str, tuple[int, int, str]]]:
    """Of a run folder: inode, time and content of every file of every finished video. Rewritten files differ."""

    def read(run_folder: Path) -> dict[str, tuple[int, int, str]]:
        return {
            str(path.relative_to(run_folder)): (path.stat().st_ino, path.stat().st_mtime_ns, sha256_of(path))
            for record in run_folder.glob("*/video.json")
            for path in record.parent.iterdir()
        }

    return read
