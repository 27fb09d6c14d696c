"""Processes that a block has started are gone when it ends, by whatever means they hide."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.process_tree import no_process_left

pytestmark = pytest.mark.alone

SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
# Starts a child in a session of its own, says who it is, and dies: an orphan.
LEAVES_AN_ORPHAN = (
    "import subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
)


def start(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("options", [{}, {"start_new_session": True}], ids=["child", "in a session of its own"])
def test_child_is_ended(options):
    with no_process_left():
        child = start(SLEEP, **options)
        assert is_running(child.pid)
    assert not is_running(child.pid)
    child.stdout.close()


def test_child_that_ignores_the_first_request_is_ended():
    with no_process_left():
        child = start(DEAF)
        child.stdout.readline()
    assert not is_running(child.pid)
    child.stdout.close()


def test_orphan_is_ended():
    with no_process_left():
        parent = start(LEAVES_AN_ORPHAN)
        orphan = int(parent.stdout.readline())
        parent.wait()
        assert is_running(orphan)
    assert not is_running(orphan)
    parent.stdout.close()


def test_processes_of_before_live_on():
    before = start(SLEEP)
    try:
        with no_process_left():
            pass
        assert is_running(before.pid)
    finally:
        before.kill()
        before.wait()
        before.stdout.close()


def test_processes_are_ended_after_an_error_too():
    with pytest.raises(KeyboardInterrupt), no_process_left():
        child = start(SLEEP)
        raise KeyboardInterrupt
    assert not is_running(child.pid)
    child.stdout.close()


def test_orphans_of_later_are_not_adopted():
    with no_process_left():
        pass
    parent = start(LEAVES_AN_ORPHAN)
    orphan = psutil.Process(int(parent.stdout.readline()))
    parent.wait()
    parent.stdout.close()
    time.sleep(0.05)
    assert orphan.ppid() != psutil.Process().pid
    orphan.send_signal(signal.SIGKILL)
    assert Path("/proc").is_dir()
