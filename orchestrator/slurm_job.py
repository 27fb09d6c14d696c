"""What a SLURM job does: `python -m orchestrator.slurm_job [options] -- ARGUMENTS OF orchestrator.launch`.

It takes the place of the batch shell, so that SLURM's signal before the time limit reaches this process alone. Ray
runs in one step on each node, the driver (the main command) here beside it. Standard library and psutil only,
as it has to run outside of containers too.

Exit status: the driver's; 75 where the job was stopped and could not be queued again; 1 where Ray did not come up, or
three restarts brought no progress.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from orchestrator.restarts import MOST_STALLS, count_restart, run_progress
from orchestrator.room import Room
from orchestrator.slurm_folder import SlurmFolder
from orchestrator.slurm_query import SlurmRefused, ask_slurm
from orchestrator.slurm_steps import Allocation, RaySizes, RaySteps, own_tmp, python_command, ray_environment
from orchestrator.slurm_time import driver_seconds

EXIT_FAILED = 1
EXIT_RESUMABLE = 75
EXIT_BAD_INPUT = 2
"""Of the driver: nothing would change, unless a node was lost meanwhile and its room with it."""
ENDED_STATUSES = (0, EXIT_BAD_INPUT, 3)
"""Of the driver, where nothing is left to be done: done, bad input, some set aside."""
FINAL_STATUSES = (0, 3, EXIT_RESUMABLE, 130)
"""Of the driver, where starting it again in this allocation would change nothing."""
LEASE_SECONDS = 70
"""A driver that was killed on another node counts as alive until its lease, of a minute, has run out."""
TERMINATED_SECONDS = 20
"""Time for the driver after SIGTERM; SLURM kills what is left after its KillWait, 30 s by default."""
REQUEUE_SECONDS = 300
"""How long SLURM is asked to queue the job again: its controller may be away, and another takes over in minutes."""
REFUSED_SECONDS = 10
"""Between two times."""
QUEUED_SECONDS = 120
"""After `scontrol requeue` this process waits to be killed."""
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Asked:
    """What signals have asked of the job."""

    to_requeue: bool = False
    """The time limit is near (SIGUSR1)."""
    to_go: bool = False
    """Cancelled, or about to be killed (SIGTERM)."""

    def install(self) -> None:
        """Take the two signals."""
        signal.signal(signal.SIGUSR1, self._requeue)
        signal.signal(signal.SIGTERM, self._go)

    @property
    def to_stop(self) -> bool:
        """Either of them."""
        return self.to_requeue or self.to_go

    def _requeue(self, _signal: int, _frame: FrameType | None) -> None:
        self.to_requeue = True

    def _go(self, _signal: int, _frame: FrameType | None) -> None:
        self.to_go = True


@dataclass(kw_only=True, slots=True)
class Job:
    """One start of a job."""

    options: argparse.Namespace
    launch_arguments: Sequence[str]
    allocation: Allocation
    folder: SlurmFolder
    asked: Asked = field(default_factory=Asked)

    def run(self) -> int:
        """Render what is missing; the exit status."""
        if not self._gets_further():
            return EXIT_FAILED
        witness = self.folder.witness(self.allocation.job_id)
        witness.write_text(secrets.token_hex(16), encoding="utf-8")
        steps = RaySteps(self.allocation, self._ray_sizes(), self.folder, log)
        try:
            status = self._drive_until_done(steps)
        finally:
            steps.stop()
            witness.unlink(missing_ok=True)
        log(f"Ray is gone; status {status}")
        if status == EXIT_RESUMABLE and not self.asked.to_go:
            self._requeue()
        return status

    def _drive_until_done(self, steps: RaySteps) -> int:
        stalls, has_waited = 0, False
        while True:
            before = run_progress(self.folder.run)
            status = self._drive_once(steps)
            if self.asked.to_stop and status not in ENDED_STATUSES:
                return EXIT_RESUMABLE
            if status in FINAL_STATUSES:
                return status
            nodes = len(steps.nodes_up)
            steps.settle()
            if status == EXIT_BAD_INPUT and len(steps.nodes_up) == nodes:
                if has_waited or not self.allocation.restart_count:
                    return status
                # What this job's first start took is not bad: the start before died too fast to give back its lease.
                log(f"waiting {LEASE_SECONDS} s for what the start before this one may have left behind")
                has_waited = True
                self._wait(LEASE_SECONDS)
                continue
            stalls = stalls + 1 if run_progress(self.folder.run) == before else 0
            if stalls > self.options.driver_restarts:
                log(f"{stalls} starts in this allocation did not get any further")
                return status
            log(f"starting again; {stalls} of at most {self.options.driver_restarts} starts did not get any further")

    def _drive_once(self, steps: RaySteps) -> int:
        """Ray on all nodes that there are, and the driver once; its status."""
        options, begin = self.options, time.monotonic()
        steps.start(within=options.join_seconds, stop=lambda: self.asked.to_stop)
        if self.asked.to_stop:
            return EXIT_RESUMABLE
        if steps.address is None:
            log("Ray did not come up on the first node")
            return EXIT_FAILED
        nodes = steps.nodes_up
        gangs = Room(nodes=(options.ranks_per_node,) * len(nodes)).gangs_that_fit(options.ranks_per_gang)
        if options.num_gangs is not None:
            gangs = min(gangs, options.num_gangs)
        if not gangs:
            log(f"{len(nodes)} nodes have no room for a gang of {options.ranks_per_gang} ranks")
            return EXIT_FAILED
        seconds = time.monotonic() - begin
        log(f"Ray is up on {len(nodes)} of {len(self.allocation.nodes)} nodes after {seconds:.1f} s; {gangs} gangs")
        # As many as fit: the driver counts them itself, and follows the nodes.
        return self._drive(steps, "null" if options.num_gangs is None else str(gangs))

    def _drive(self, steps: RaySteps, num_gangs: str) -> int:
        command = [
            *python_command(self.options.python, self.options.prefix),
            *("-m", "orchestrator.launch", *self.launch_arguments),
            *(f"cluster.address={steps.address}", f"cluster.num_gangs={num_gangs}"),
        ]
        driver = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        told: float | None = None
        while True:
            try:
                status = driver.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                steps.note_losses()
                if not self.asked.to_stop:
                    continue
                if told is None:
                    told = time.monotonic()
                    log("telling the driver to stop")
                    driver.send_signal(signal.SIGTERM if self.asked.to_go else signal.SIGUSR1)
                elif time.monotonic() - told > self._grace_seconds():
                    log("the driver has not stopped in time and is killed")
                    driver.kill()
                continue
            log(f"the driver ended with status {status}")
            return status

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.asked.to_stop:
            time.sleep(POLL_SECONDS)

    def _grace_seconds(self) -> float:
        """How long the driver may take to stop."""
        return TERMINATED_SECONDS if self.asked.to_go else driver_seconds(self.options.signal_seconds)

    def _gets_further(self) -> bool:
        """Whether the restarts of this job have brought anything."""
        allocation = self.allocation
        path = self.folder.restarts(allocation.job_id)
        now = count_restart(path, restart_count=allocation.restart_count, progress=run_progress(self.folder.run))
        log(
            f"job {allocation.job_id}, restart {allocation.restart_count}, on {', '.join(allocation.nodes)}; "
            f"{now.progress.num_finished} videos are finished in {self.folder.run}"
        )
        if now.stalls < MOST_STALLS:
            return True
        log(
            f"{now.stalls} restarts in a row brought neither a finished video nor a newer checkpoint: this job "
            "stops. Is the time limit (slurm.time) shorter than the way to the first checkpoint, or do nodes fail? "
            f"The log above says how each start ended; submit again to go on ({path})"
        )
        return False

    def _requeue(self) -> None:
        """Queue again, as the last act: SLURM kills this process for it."""
        if not self.options.requeue:
            log("not queued again (slurm.requeue=false); the same submission goes on from here")
            return
        log("queueing again")
        deadline = time.monotonic() + REQUEUE_SECONDS
        while True:
            try:
                ask_slurm("scontrol", "requeue", self.allocation.job_id)
                time.sleep(QUEUED_SECONDS)
                return
            except SlurmRefused as error:
                if self.asked.to_go or time.monotonic() > deadline:
                    log(f"could not be queued again: {error}; the same submission goes on from here")
                    return
                log(f"not queued again yet: {error}; asking again in {REFUSED_SECONDS} s")
                time.sleep(REFUSED_SECONDS)

    def _ray_sizes(self) -> RaySizes:
        options = self.options
        return RaySizes(
            cpus=(options.ranks_per_node + options.decoders_per_node) * options.cpus_per_rank,
            gpus=options.gpus_per_node,
            object_store_mb=options.object_store_mb,
            tmp=own_tmp(options.tmp, self.allocation.job_id),
            interface=options.interface,
            command=python_command(options.python, options.prefix),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job of this batch shell."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    own, launch_arguments = (
        (typed[: typed.index("--")], typed[typed.index("--") + 1 :]) if "--" in typed else (typed, [])
    )
    options = _parser().parse_args(own)
    asked = Asked()
    asked.install()
    try:
        allocation = Allocation.of_this_job(os.environ)
    except SlurmRefused as error:
        log(str(error))
        return EXIT_FAILED
    os.environ.update(ray_environment(secrets.token_hex(32), os.environ))
    folder = SlurmFolder(options.run.absolute())
    folder.root.mkdir(parents=True, exist_ok=True)
    return Job(
        options=options, launch_arguments=launch_arguments, allocation=allocation, folder=folder, asked=asked
    ).run()


def log(text: str) -> None:
    """A line of the job's log."""
    print(f"{time.strftime('%H:%M:%S')}  slurm_job: {text}", flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.slurm_job",
        description="Ray on the nodes of this job, and the main command on it.",
        epilog="What stands after -- is given to orchestrator.launch, which needs cluster=ray and output=RUN there.",
    )
    parser.add_argument("--run", type=Path, required=True, help="output folder, on a file system of all nodes")
    parser.add_argument("--ranks-per-gang", type=int, required=True, help="ranks that render one video together")
    parser.add_argument(
        "--ranks-per-node", type=int, required=True, help="its GPUs, or what its CPU cores suffice for"
    )
    parser.add_argument("--gpus-per-node", type=int, default=0, help="0 renders on the CPU")
    parser.add_argument("--cpus-per-rank", type=int, default=1)
    parser.add_argument(
        "--decoders-per-node", type=int, default=0, help="decode workers on the CPU that have cores there besides"
    )
    parser.add_argument("--num-gangs", type=int, help="at most; otherwise as many as have room")
    parser.add_argument("--object-store-mb", type=int, default=100, help="Ray's shared memory on each node")
    parser.add_argument("--tmp", default="/tmp", help="on each node's own disk")
    parser.add_argument("--interface", help="network interface that the nodes talk through, such as ib0")
    parser.add_argument("--join-seconds", type=float, default=300, help="for Ray to come up on all nodes")
    parser.add_argument("--signal-seconds", type=float, default=300, help="as in sbatch --signal=B:USR1@…")
    parser.add_argument("--driver-restarts", type=int, default=3, help="within the allocation, without progress")
    parser.add_argument("--python", help="behind the prefix; otherwise this one")
    parser.add_argument("--prefix", help="words before every command that renders: 'apptainer exec --nv image.sif'")
    parser.add_argument("--no-requeue", dest="requeue", action="store_false", help="do not queue again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
