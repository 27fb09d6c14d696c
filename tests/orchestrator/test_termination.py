"""Which handler a signal has: of real processes, as signals are the whole process's."""

import contextlib
import signal
import subprocess
import sys

import pytest

from orchestrator.termination import Terminated, handlers_kept, none_swallowed, terminated_like_interrupted

pytestmark = pytest.mark.alone


def test_handlers_that_a_library_replaces_are_put_back():
    with terminated_like_interrupted():
        ours = signal.getsignal(signal.SIGTERM)
        with handlers_kept():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is ours
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def swallow(number: signal.Signals) -> None:
    """As Python does with what is raised in a finalizer."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_signal_that_a_library_swallows_ends_the_launch_all_the_same(number, raised):
    done = []
    with terminated_like_interrupted():
        ours = signal.getsignal(number)
        with pytest.raises(raised), none_swallowed():
            swallow(number)
            done.append("the library went on")
        assert signal.getsignal(number) is ours
    assert done == ["the library went on"]


def test_signal_that_is_not_swallowed_is_raised_once_and_without_one_nothing_is():
    with pytest.raises(KeyboardInterrupt), none_swallowed():
        signal.raise_signal(signal.SIGINT)
    with none_swallowed():
        pass


def test_signal_that_is_ignored_stays_ignored():
    """As in a launch that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with none_swallowed():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


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
