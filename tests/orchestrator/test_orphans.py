"""What a killed launch leaves behind is ended, and nobody else's is touched."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from orchestrator.orphans import LOOK_SECONDS
from orchestrator.project import PROJECT

pytestmark = pytest.mark.alone

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
LAUNCH = f"""
import subprocess, sys
from orchestrator.orphans import orphans_ended
with orphans_ended():
    subprocess.Popen({SLEEP}, start_new_session=True, stdout=subprocess.DEVNULL)
    print("up", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def launch():
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"up\n"
    time.sleep(3 * LOOK_SECONDS)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def started(launch):
    """The watcher, and what the launch has started besides."""
    watcher, other = sorted(
        psutil.Process(launch.pid).children(), key=lambda one: "orphans.py" not in str(one.cmdline())
    )
    yield watcher, other
    for process in (watcher, other):
        if process.is_running():
            process.kill()


def test_what_a_killed_launch_has_started_is_ended_within_ten_seconds(launch, started):
    stranger = subprocess.Popen(SLEEP)
    launch.send_signal(signal.SIGKILL)
    launch.wait()
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_ctrl_c_does_not_end_the_watcher_before_the_launch(launch, started):
    watcher, _ = started
    assert os.getpgid(watcher.pid) != os.getpgid(launch.pid)


def test_launch_that_ends_by_itself_takes_the_watcher_with_it_and_kills_nothing(launch, started):
    watcher, other = started
    launch.communicate(b"end\n", timeout=20)
    assert launch.returncode == 0
    assert not watcher.is_running()
    assert other.is_running()
