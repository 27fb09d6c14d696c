"""Programs of Ray's names below this process that die or are frozen."""

import shutil
import signal
import subprocess
import time

import psutil
import pytest

from orchestrator import ray_processes
from orchestrator.errors import RayLost
from orchestrator.ray_processes import PROGRAMS, RayProcesses

pytestmark = pytest.mark.alone


@pytest.fixture
def programs(tmp_path):
    """A program of each name, that sleeps."""
    started = {}
    for name in (*PROGRAMS, "another"):
        shutil.copy(shutil.which("sleep"), tmp_path / name)
        started[name] = subprocess.Popen([tmp_path / name, "60"])
    for process in started.values():
        while psutil.Process(process.pid).name() not in started:  # it is still this program's copy
            time.sleep(0.01)
    yield started
    for process in started.values():
        process.kill()
        process.wait()


@pytest.fixture
def watched(programs, monkeypatch):
    monkeypatch.setattr(ray_processes, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(ray_processes, "FROZEN_SECONDS", 0.5)
    watched = RayProcesses()
    yield watched
    watched.close()


def loss(watched: RayProcesses, *, seconds: float) -> str | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            watched.check()
        except RayLost as lost:
            return str(lost)
        time.sleep(0.02)
    return None


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_that_dies_is_noticed_and_named(watched, programs, name):
    assert loss(watched, seconds=0.3) is None
    programs[name].kill()
    assert loss(watched, seconds=5) == f"Ray's {name} (process {programs[name].pid}) died"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_that_stays_frozen_is_killed_and_named(watched, programs, name):
    programs[name].send_signal(signal.SIGSTOP)
    assert "was frozen for 0.5 s" in loss(watched, seconds=5)
    assert programs[name].wait(5) == -signal.SIGKILL


def test_program_that_is_stopped_for_a_moment_is_not_lost(watched, programs):
    for _ in range(3):
        programs["raylet"].send_signal(signal.SIGSTOP)
        assert loss(watched, seconds=0.2) is None
        programs["raylet"].send_signal(signal.SIGCONT)
        assert loss(watched, seconds=0.2) is None


def test_other_programs_are_not_watched(watched, programs):
    programs["another"].kill()
    assert loss(watched, seconds=0.5) is None
