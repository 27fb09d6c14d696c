"""Which handler a signal has: of real processes, as signals are the whole process's."""

import signal
import subprocess
import sys

import pytest

from orchestrator.termination import Terminated, handlers_kept, terminated_like_interrupted


def test_handlers_that_a_library_replaces_are_put_back():
    with terminated_like_interrupted():
        ours = signal.getsignal(signal.SIGTERM)
        with handlers_kept():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is ours
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def test_ray_leaves_the_launchs_handlers_in_their_place(command_environment):
    """Its own ends a process with status 15, also one that is all but done."""
    program = """
import signal
from orchestrator.ray_environment import prepare_environment
prepare_environment(own_cluster=True, metrics=False)
from orchestrator.ray_cluster import _init
import ray
signal.signal(signal.SIGTERM, signal.SIG_IGN)
_init(address="local", num_cpus=1, include_dashboard=False)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
ray.shutdown()
print("kept")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "kept", done.stderr
