"""What a job makes of its driver's end and of signals: a driver of a few lines of shell, made-up nodes."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator.slurm_folder import SlurmFolder
from orchestrator.slurm_job import EXIT_RESUMABLE, Asked, Job, _parser
from orchestrator.slurm_steps import Allocation, ray_environment

pytestmark = pytest.mark.alone

NODES = ("n1", "n2", "n3")


@dataclass
class FakeSteps:
    """Nodes that are up until a test says otherwise."""

    nodes_up: list[str] = field(default_factory=lambda: list(NODES))
    lost_at_settle: list[str] = field(default_factory=list)
    address: str | None = "10.0.0.1:20000"

    def start(self, *, within, stop):
        pass

    def note_losses(self):
        pass

    def settle(self):
        self.nodes_up = [node for node in self.nodes_up if node not in self.lost_at_settle]


@dataclass
class Bench:
    """A job whose driver is a shell script."""

    job: Job
    folder: Path

    @property
    def started(self) -> list[list[str]]:
        """The arguments of each driver."""
        return [line.split() for line in (self.folder / "started").read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    def make(script: str, *more: str) -> Bench:
        driver = tmp_path / "driver"
        driver.write_text(f"#!/bin/bash\ncd {tmp_path}\necho $$ $@ >> started\nn=$(wc -l < started)\n{script}\n")
        driver.chmod(0o755)
        run = tmp_path / "run"
        (run / "slurm").mkdir(parents=True)
        own = [f"--run={run}", "--ranks-per-gang=2", "--ranks-per-node=4", f"--python={driver}"]
        allocation = Allocation(job_id="7", nodes=NODES, own_node="n1", restart_count=0, cpus_per_step=1)
        options = _parser().parse_args([*own, *more])
        job = Job(options=options, launch_arguments=["+job=x"], allocation=allocation, folder=SlurmFolder(run))
        return Bench(job=job, folder=tmp_path)

    return make


@pytest.mark.parametrize("status", [0, 2, 3, 130])
def test_final_status_of_the_driver_is_the_jobs(bench, status):
    made = bench(f"exit {status}")
    assert made.job._drive_until_done(FakeSteps()) == status
    assert len(made.started) == 1


def test_driver_is_told_ray_s_address_and_counts_the_gangs_that_have_room_itself(bench):
    made = bench("exit 0")
    made.job._drive_until_done(FakeSteps())
    [words] = made.started
    expected = ["-m", "orchestrator.launch", "+job=x", "cluster.address=10.0.0.1:20000", "cluster.num_gangs=null"]
    assert words[1:] == expected


def test_fewer_gangs_when_fewer_are_asked_for(bench):
    made = bench("exit 0", "--num-gangs=2")
    made.job._drive_until_done(FakeSteps())
    assert made.started[0][-1] == "cluster.num_gangs=2"


@pytest.mark.parametrize("end", ["exit 1", "kill -9 $$"])
def test_failing_driver_is_started_again_a_bounded_number_of_times(bench, end):
    made = bench(end, "--driver-restarts=2")
    assert made.job._drive_until_done(FakeSteps()) in (1, -9)
    assert len(made.started) == 3


def test_progress_begins_the_count_anew(bench):
    made = bench("mkdir -p run/ab$n; [ $n -lt 6 ] && touch run/ab$n/video.json; exit 1", "--driver-restarts=1")
    made.job._drive_until_done(FakeSteps())
    assert len(made.started) == 7


def test_after_a_lost_node_the_driver_gets_fewer_gangs_even_if_it_called_its_input_bad(bench):
    made = bench("[ $n = 1 ] && exit 2; exit 0", "--num-gangs=5")
    assert made.job._drive_until_done(FakeSteps(lost_at_settle=["n3"])) == 0
    assert [words[-1] for words in made.started] == ["cluster.num_gangs=5", "cluster.num_gangs=4"]


@pytest.mark.parametrize(("restart_count", "starts"), [(0, 1), (1, 2)])
def test_after_a_restart_the_lease_of_a_driver_that_was_killed_elsewhere_is_waited_for(
    bench, monkeypatch, restart_count, starts
):
    monkeypatch.setattr("orchestrator.slurm_job.LEASE_SECONDS", 0.1)
    made = bench("exit 2")
    made.job.allocation = replace(made.job.allocation, restart_count=restart_count)
    assert made.job._drive_until_done(FakeSteps()) == 2
    assert len(made.started) == starts


@pytest.mark.parametrize(("more", "cpus"), [([], 8), (["--decoders-per-node=2"], 12)])
def test_ray_has_cores_for_ranks_and_decode_workers(bench, more, cpus):
    assert bench("exit 0", "--cpus-per-rank=2", *more).job._ray_sizes().cpus == cpus


def test_no_room_for_a_gang_is_a_failure(bench):
    made = bench("exit 0", "--driver-restarts=0")
    assert made.job._drive_until_done(FakeSteps(nodes_up=[])) == 1


def signalled(job: Job, asked: str, folder: Path) -> int:
    """Run the job, and let the signal come once the driver is up."""

    def ask() -> None:
        while not (folder / "ready").exists():
            time.sleep(0.02)
        setattr(job.asked, asked, True)

    threading.Thread(target=ask, daemon=True).start()
    return job._drive_until_done(FakeSteps())


TRAPS = "trap 'echo usr1 > got; exit 75' USR1; trap 'echo term > got; exit 75' TERM; touch ready; "
WAIT = "while :; do sleep 0.05; done"


@pytest.mark.parametrize(("asked", "got"), [("to_requeue", "usr1"), ("to_go", "term")])
def test_signal_is_passed_on_and_the_job_can_go_on_later(bench, asked, got):
    made = bench(TRAPS + WAIT)
    assert signalled(made.job, asked, made.folder) == EXIT_RESUMABLE
    assert (made.folder / "got").read_text().strip() == got
    assert len(made.started) == 1


def test_driver_that_knows_no_such_signal_is_resumable_too(bench):
    made = bench("touch ready; " + WAIT)
    assert signalled(made.job, "to_requeue", made.folder) == EXIT_RESUMABLE


def test_driver_that_does_not_stop_is_killed_before_the_limit(bench):
    made = bench("trap '' USR1; touch ready; " + WAIT, "--signal-seconds=1")
    begin = time.monotonic()
    assert signalled(made.job, "to_requeue", made.folder) == EXIT_RESUMABLE
    assert time.monotonic() - begin < 10


def test_batch_that_is_done_by_then_is_done(bench):
    made = bench("trap 'exit 0' USR1; touch ready; " + WAIT)
    assert signalled(made.job, "to_requeue", made.folder) == 0


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """`scontrol("exit 0")`: a program of that name; a file with a line for each call of it. Waits are short."""

    def make(script: str) -> Path:
        called = tmp_path / "called"
        called.touch()
        program = tmp_path / "bin" / "scontrol"
        program.parent.mkdir()
        program.write_text(f"#!/bin/bash\necho $@ >> {called}\nn=$(wc -l < {called})\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setattr("orchestrator.slurm_job.REFUSED_SECONDS", 0.05)
        monkeypatch.setattr("orchestrator.slurm_job.QUEUED_SECONDS", 0)
        return called

    return make


AWAY = "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.mark.parametrize(("more", "asked"), [([], ["requeue 7"]), (["--no-requeue"], [])])
def test_queueing_again_is_one_call_of_scontrol(bench, scontrol, more, asked):
    made = bench("exit 75", *more)
    called = scontrol("exit 0")
    made.job._requeue()
    assert called.read_text().splitlines() == asked


def test_queueing_again_is_tried_until_the_controller_is_back(bench, scontrol, capsys):
    made = bench("exit 75")
    called = scontrol(f"[ $n -gt 3 ] || {{ {AWAY}; }}")
    made.job._requeue()
    assert called.read_text().splitlines() == ["requeue 7"] * 4
    said = capsys.readouterr().out
    assert said.count("not queued again yet: scontrol: Unable to contact slurm controller") == 3
    assert "could not" not in said


@pytest.mark.parametrize("end", ["no time is left", "cancelled"])
def test_queueing_again_is_given_up_in_the_end_and_the_log_says_so(bench, scontrol, capsys, monkeypatch, end):
    made = bench("exit 75")
    called = scontrol(AWAY)
    if end == "cancelled":
        made.job.asked.to_go = True
    else:
        monkeypatch.setattr("orchestrator.slurm_job.REQUEUE_SECONDS", 0.3)
    made.job._requeue()
    asked = called.read_text().splitlines()
    assert (len(asked) == 1) == (end == "cancelled")
    assert "could not be queued again: scontrol: Unable to contact slurm controller" in capsys.readouterr().out


def test_both_signals_are_noticed():
    asked = Asked()
    before = [signal.getsignal(one) for one in (signal.SIGUSR1, signal.SIGTERM)]
    try:
        asked.install()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (asked.to_requeue, asked.to_go) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.to_go
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_ray_gets_the_jobs_token_and_nothing_of_another_cluster():
    found = ray_environment(
        "secret", {"RAY_ADDRESS": "x", "RANK": "3", "HOME": "/h", "RAY_health_check_period_ms": "9"}
    )
    assert found["RAY_AUTH_TOKEN"] == "secret" and found["RAY_AUTH_MODE"] == "token"
    assert "RAY_ADDRESS" not in found and "RANK" not in found
    assert found["HOME"] == "/h" and found["RAY_health_check_period_ms"] == "9"


def test_jobs_look_for_ports_in_different_places():
    ports = {
        Allocation(job_id=str(i), nodes=(), own_node="", restart_count=0, cpus_per_step=1).first_port
        for i in range(1200)
    }
    assert len(ports) == 1200
    assert min(ports) >= 20_000 and max(ports) < 32_768, "between Ray's workers and what systems hand out"


def test_outside_of_a_job_it_says_so(monkeypatch, capsys):
    from orchestrator.slurm_job import main

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    before = [signal.getsignal(one) for one in (signal.SIGUSR1, signal.SIGTERM)]
    try:
        assert main(["--run=x", "--ranks-per-gang=1", "--ranks-per-node=1"]) == 1
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert "SLURM_JOB_ID is not set" in capsys.readouterr().out
