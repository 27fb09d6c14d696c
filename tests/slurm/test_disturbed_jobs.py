"""Jobs that lose their time, their nodes or their driver, on a real SLURM: `pytest tests/slurm -m slurm_long`.

Each ends with every video there once, and equal to an undisturbed run's.
"""

import json
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.checkpoint_store import generations
from orchestrator.slurm_folder import SlurmFolder

pytestmark = pytest.mark.slurm_long

ONE_RANK = ["parallel=auto", "parallel.ranks=1", "slurm.cpus_per_node=1"]
SLOW = ["denoise.num_steps=250", "forecast=none"]
"""Videos that take some seconds each; those of the fixture `slow_undisturbed`."""


@pytest.fixture(autouse=True)
def figures(request, capsys):
    """Print how long each test took, and what it adds: the figures of jobs/README.md."""
    begin, more = time.monotonic(), []
    yield more
    with capsys.disabled():
        sys.stdout.write(f"\n{request.node.name}: {', '.join([f'{time.monotonic() - begin:.0f} s', *more])}\n")


def processes_of(cluster) -> list[psutil.Process]:
    """What jobs have started on the cluster's nodes, Ray's own processes included."""
    name = str(cluster.folder).encode()
    found = []
    for process in psutil.process_iter():
        command, environment = read(process.pid, "cmdline"), read(process.pid, "environ")
        if name in environment and b"SLURM_JOB_ID=" in environment and command:
            found.append(process)
    return found


def read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def driver_of(cluster) -> psutil.Process:
    [driver] = [
        process for process in processes_of(cluster) if b"orchestrator.launch" in read(process.pid, "cmdline")
    ]
    return driver


def test_array_of_four_renders_each_video_once(slurm, submit_job, batch_file, undisturbed):
    job = submit_job(slurm, f"batch={batch_file(8)}", "slurm.array=4", *ONE_RANK)
    states = [slurm.wait_for_job(f"{job.id}_{task}", "COMPLETED", "FAILED", timeout=200) for task in range(1, 5)]
    assert [state["JobState"] for state in states] == ["COMPLETED"] * 4, job.log
    assert job.videos == undisturbed(8)


def test_time_limit_queues_the_job_again_which_goes_on(slurm, submit_job, batch_file, slow_undisturbed):
    """SLURM itself sends the signal, up to a minute early; the second start is not made to wait its two minutes."""
    job = submit_job(slurm, f"batch={batch_file(12)}", *SLOW, "slurm.time=2m", "slurm.signal_seconds=30", *ONE_RANK)
    job.wait_for_log("queueing again", timeout=150)
    finished = set(job.videos)
    assert len(finished) < 12, "the limit came too late to disturb anything"
    [begun] = {folder.parent.name for folder in job.run.glob("*/.checkpoints")}
    step = generations(job.run / begun / ".checkpoints")[0].step
    assert 0 < step < 250
    slurm.start_now(job.id)
    slurm.run("scontrol", "update", f"jobid={job.id}", "timelimit=10")
    assert job.wait(timeout=200) == "COMPLETED", job.log
    assert "restart 1" in job.log
    assert job.videos == slow_undisturbed
    resumed = json.loads((job.run / begun / "video.json").read_text())["resumed"]
    assert resumed and f"step {step}" in resumed[0], resumed


def test_signal_before_the_limit_stops_the_driver_and_queues_again(slurm, submit_job, batch_file, undisturbed):
    """The same path without waiting for SLURM's clock, at an awkward moment: before there is a driver."""
    job = submit_job(slurm, f"batch={batch_file(3)}", *ONE_RANK)
    job.wait_for_log("restart 0")
    slurm.run("scancel", "--batch", "--signal=USR1", job.id)
    slurm.start_now(job.id)
    assert job.wait() == "COMPLETED", job.log
    assert job.log.count("queueing again") == 1
    assert job.videos == undisturbed(3)


def test_preemption_queues_the_job_again_which_goes_on(slurm, submit_job, batch_file, slow_undisturbed):
    job = submit_job(slurm, f"batch={batch_file(12)}", *SLOW, "slurm.nodes=2", *ONE_RANK)
    job.wait_for_videos(1)
    flags = ["--partition=urgent", "--nodes=4", "--exclusive", "--time=1"]
    other = slurm.run("sbatch", "--parsable", *flags, "--output=/dev/null", "--wrap=sleep 2").stdout.strip()
    slurm.wait_for_job(other, "COMPLETED")
    assert len(job.videos) < 12
    slurm.start_now(job.id)
    assert job.wait(timeout=200) == "COMPLETED", job.log
    assert "restart 1" in job.log
    assert job.videos == slow_undisturbed


def test_killed_driver_is_started_again_in_the_same_allocation(slurm, submit_job, batch_file, slow_undisturbed):
    job = submit_job(slurm, f"batch={batch_file(12)}", *SLOW, *ONE_RANK)
    job.wait_for_videos(1)
    driver_of(slurm).send_signal(signal.SIGKILL)
    assert job.wait(timeout=200) == "COMPLETED", job.log
    assert "ended with status -9" in job.log and "restart 0" in job.log
    assert job.log.count("Ray is up on") == 2
    assert job.videos == slow_undisturbed


def test_two_jobs_on_the_same_nodes_do_not_meet(slurm, submit_job, batch_file, undisturbed):
    """Two nodes, two jobs with a gang across both."""
    where = ["slurm.nodes=2", "slurm.cpus_per_node=1", "slurm.flags=['--nodelist=n[1-2]']"]
    jobs = [submit_job(slurm, f"batch={batch_file(3)}", *where) for _ in range(2)]
    for job in jobs:
        job.wait_for_log("Ray is up on 2 of 2 nodes")
    assert [job.wait() for job in jobs] == ["COMPLETED", "COMPLETED"], "\n".join(job.log for job in jobs)
    assert [job.videos for job in jobs] == [undisturbed(3)] * 2


def test_cancelled_job_leaves_no_process_and_a_folder_that_goes_on(slurm, submit_job, batch_file, slow_undisturbed):
    batch = batch_file(12)
    job = submit_job(slurm, f"batch={batch}", *SLOW, "slurm.nodes=2", *ONE_RANK)
    job.wait_for_videos(1)
    slurm.run("scancel", job.id)
    assert job.wait() == "CANCELLED"
    slurm.wait_until(lambda: processes_of(slurm) == [], "no processes", 15)
    finished = job.videos
    assert 0 < len(finished) < 12
    times = {name: (job.run / name / "video.mp4").stat().st_mtime_ns for name in finished}
    again = submit_job(slurm, f"batch={batch}", *SLOW, *ONE_RANK, run=job.run)
    assert again.wait(timeout=200) == "COMPLETED", again.log
    assert again.videos == slow_undisturbed
    assert {name: (job.run / name / "video.mp4").stat().st_mtime_ns for name in finished} == times


def test_killed_node_is_done_without(machines, submit_job, batch_file, slow_undisturbed, figures):
    """The batch ends in the same allocation and launch, on the nodes that remain, whose gangs work on meanwhile."""
    job = submit_job(machines, f"batch={batch_file(12)}", *SLOW, "slurm.nodes=3", "cluster.num_gangs=null", *ONE_RANK)
    job.wait_for_videos(1)
    assert len(list((SlurmFolder(job.run).root / f"job-{job.id}-ray").iterdir())) == 3
    machines.kill_node("n3")
    killed = time.monotonic()
    job.wait_for_log("  lost: ")
    figures.append(f"its gang given up after {time.monotonic() - killed:.1f} s")
    assert job.wait(timeout=240) == "COMPLETED", job.log
    assert "node n3 is lost" in job.log and "restart 0" in job.log
    assert job.log.count("Ray is up on") == 1, "the driver was started once"
    assert job.videos == slow_undisturbed


def test_three_restarts_without_progress_end_the_job(slurm, submit_job, batch_file):
    job = submit_job(slurm, f"batch={batch_file(3)}", *ONE_RANK)
    for restart in range(4):
        job.wait_for_log(f"restart {restart},")
        if restart < 3:
            slurm.run("scancel", "--batch", "--signal=USR1", job.id)
            slurm.start_now(job.id)
    assert job.wait() == "FAILED"
    assert "3 restarts in a row brought neither" in job.log
