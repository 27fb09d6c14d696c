"""One owner at a time, and a dead one's lease is taken over."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time

import pytest

from orchestrator.errors import BadInput
from orchestrator.lease import EXPIRES_SECONDS, lease

pytestmark = pytest.mark.alone


@pytest.fixture
def path(tmp_path):
    return tmp_path / "launches" / "all.lease"


def write(path, **changes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = {"host": platform.node(), "pid": os.getpid(), "process_began": 0.0, "since": "then", "token": "x"}
    path.write_text(json.dumps({**owner, **changes}))


def test_lease_is_there_while_it_is_held_and_leaves_nothing(path):
    with lease(path, what="output=run"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_second_owner_is_refused_and_told_of_the_first(path):
    with lease(path, what="output=run"):
        message = (
            f"output=run is being rendered by another launch: process {os.getpid()} on {platform.node()}, since "
        )
        with pytest.raises(BadInput, match=message), lease(path, what="output=run"):
            pytest.fail("two owners")
        assert path.exists(), "the refused one leaves the first's alone"


def test_lease_of_a_process_that_is_gone_is_taken_over(path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    write(path, pid=int(done.stdout), process_began=time.time())
    with lease(path, what="output=run"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_lease_of_a_process_whose_number_another_has_now_is_taken_over(path):
    write(path, process_began=1.0)
    with lease(path, what="output=run"):
        assert json.loads(path.read_text())["process_began"] > 1.0


def test_lease_is_refused_while_a_rival_is_held_and_not_after_that(path):
    rival = path.with_name("1-of-2.lease")
    with lease(rival, what="output=run"):
        with (
            pytest.raises(BadInput, match="by another launch"),
            lease(path, what="output=run", rivals=lambda: [rival]),
        ):
            pytest.fail("two owners")
        assert not path.exists()
    write(rival, process_began=1.0)  # a dead owner's
    with lease(path, what="output=run", rivals=lambda: [rival]):
        assert path.exists()


@pytest.fixture
def holder(path):
    """A real process that holds the lease, renews it all the time, and has a rival."""
    program = """
import sys, time
from pathlib import Path
import orchestrator.lease as module
module.RENEW_SECONDS = 0.05
path = Path(sys.argv[1])
with module.lease(path, what="output=run", rivals=lambda: [path.with_name("rival.lease")]):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_owner_that_was_taken_for_dead_ends_and_leaves_the_others_lease_alone(path, holder):
    write(path, host="elsewhere")
    before = path.read_text(), path.stat().st_mtime_ns
    assert holder.wait(timeout=30) == -signal.SIGTERM
    assert (path.read_text(), path.stat().st_mtime_ns) == before


def test_owner_whose_lease_is_gone_takes_it_again(path, holder):
    """Another took it over and has given it back: a third must not get in."""
    before = path.read_text()
    path.unlink()
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads(path.read_text())["token"] == json.loads(before)["token"]
    with pytest.raises(BadInput, match=f"process {holder.pid} "), lease(path, what="output=run"):
        pytest.fail("two owners")


def test_owner_whose_lease_is_gone_ends_where_a_rival_has_come_meanwhile(path, holder):
    rival = path.with_name("rival.lease")
    with lease(rival, what="output=run job.shard=1/2"):
        path.unlink()
        assert holder.wait(timeout=30) == -signal.SIGTERM
        assert rival.exists() and not path.exists()


@pytest.mark.parametrize(("age", "is_refused"), [(0, True), (EXPIRES_SECONDS + 5, False)])
def test_lease_from_another_host_holds_while_it_is_renewed(path, age, is_refused):
    write(path, host="elsewhere")
    os.utime(path, (time.time() - age,) * 2)
    if is_refused:
        with pytest.raises(BadInput, match="on elsewhere"), lease(path, what="output=run"):
            pytest.fail("two owners")
    else:
        with lease(path, what="output=run"):
            assert json.loads(path.read_text())["host"] == platform.node()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}'])
def test_damaged_lease_is_taken_over(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    os.utime(path, (0, 0))
    with lease(path, what="output=run"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("what", ["none", "a dead process's", "a damaged"])
def test_of_many_at_once_one_gets_it(path, what):
    for _ in range(100):
        path.parent.mkdir(parents=True, exist_ok=True)
        if what != "none":
            write(path, pid=2**22 + 1)
        if what == "a damaged":
            path.write_text("{")
        held, refused = [], []
        together, over = threading.Barrier(8), threading.Barrier(8)

        def take(held=held, refused=refused, together=together, over=over) -> None:
            together.wait(60)
            try:
                with lease(path, what="output=run"):
                    held.append(1)
                    over.wait(60)
            except BadInput:
                refused.append(1)
                over.wait(60)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(held), len(refused)) == (1, 7)
        assert list(path.parent.iterdir()) == []


def test_many_that_take_it_and_give_it_back_never_hold_it_together(path):
    holding, most, errors = [], [], []
    together = threading.Barrier(8)

    def take_often(me: int) -> None:
        together.wait(60)
        for _ in range(300):
            try:
                with lease(path, what="output=run"):
                    holding.append(me)
                    most.append(len(holding))
                    time.sleep(0)
                    holding.remove(me)
            except BadInput:
                pass
            except Exception as error:  # a thread's own end would not fail the test
                errors.append(error)

    threads = [threading.Thread(target=take_often, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(most) == {1}
    assert list(path.parent.iterdir()) == []


def test_lease_is_renewed(path, monkeypatch):
    monkeypatch.setattr("orchestrator.lease.RENEW_SECONDS", 0.05)
    with lease(path, what="output=run"):
        os.utime(path, (0, 0))
        time.sleep(0.5)
        assert time.time() - path.stat().st_mtime < 5
