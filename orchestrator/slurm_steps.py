"""The job's Ray: one step of SLURM on each node, so that each node's fate is its own."""

import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.slurm_folder import SlurmFolder
from orchestrator.slurm_node import ALIVE, UP
from orchestrator.slurm_query import SlurmRefused, ask_slurm

LOST_SECONDS = 10
"""Silence after which a node counts as lost; it says every second that it is alive."""
STOP_SECONDS = 10
"""For a node to end Ray."""
ABORT_SECONDS = 3
"""For srun to end a step by force."""
_FIRST_PORT, _PORTS_OF_A_JOB, _JOBS = 20_000, 10, 1200
"""Below the ports that systems hand out by themselves, above those of Ray's own workers (10002 to 19999)."""
_FOREIGN = ("RAY_ADDRESS", "RAY_TMPDIR", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of somebody else's cluster that the submitting shell may have had."""
SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own name. A shell, or a launch that had a Ray of its own, may have it as 0: that is for one machine."""
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node that was lost is noticed in about five seconds, not in twenty.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # Ray would kill ranks when the node's memory is full, which on a shared node others may have filled.
    "RAY_memory_monitor_refresh_ms": "0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """What SLURM has given the job."""

    job_id: str
    nodes: tuple[str, ...]
    own_node: str
    """Where this process runs: Ray's head is there too, as a driver needs Ray on its own node."""
    restart_count: int
    cpus_per_step: int

    @classmethod
    def of_this_job(cls, environment: Mapping[str, str]) -> "Allocation":
        """From the variables of a batch shell.

        Raises:
            SlurmRefused: this is no job of SLURM.
        """
        if "SLURM_JOB_ID" not in environment:
            raise SlurmRefused(
                "SLURM_JOB_ID is not set: this command runs inside a job (orchestrator.submit, sbatch)"
            )
        nodes = ask_slurm("scontrol", "show", "hostnames", environment["SLURM_JOB_NODELIST"]).split()
        return cls(
            job_id=environment["SLURM_JOB_ID"],
            nodes=tuple(nodes),
            own_node=environment.get("SLURMD_NODENAME", nodes[0]),
            restart_count=int(environment.get("SLURM_RESTART_COUNT", "0")),
            cpus_per_step=int(environment.get("SLURM_CPUS_PER_TASK", "1")),
        )

    @property
    def first_port(self) -> int:
        """Where this job looks for ports first: other jobs on the node look elsewhere."""
        return _FIRST_PORT + int(self.job_id) % _JOBS * _PORTS_OF_A_JOB


@dataclass(frozen=True, kw_only=True, slots=True)
class RaySizes:
    """What Ray is told that it has on each node, and where."""

    cpus: int
    gpus: int
    object_store_mb: int
    tmp: Path
    interface: str | None
    command: tuple[str, ...]
    """Python, and what stands before it."""


@dataclass(kw_only=True, slots=True)
class _Step:
    node: str
    process: "subprocess.Popen[str]"
    address: str | None = None
    """Ray's, once this node has joined it."""
    last_seen: float = field(default_factory=time.monotonic)
    is_noted: bool = False
    """Whether its loss has been said."""

    @property
    def is_lost(self) -> bool:
        """Whether it had joined, and nothing is heard of it any more."""
        return self._is_running and time.monotonic() - self.last_seen > LOST_SECONDS

    @property
    def is_up(self) -> bool:
        """Whether it has joined and is there."""
        return self._is_running and not self.is_lost

    @property
    def has_ended(self) -> bool:
        """Whether it had joined, and its step has ended by itself."""
        return self.address is not None and self.process.poll() is not None

    @property
    def _is_running(self) -> bool:
        return self.address is not None and self.process.poll() is None


class RaySteps:
    """Ray on the nodes of an allocation."""

    def __init__(
        self, allocation: Allocation, sizes: RaySizes, folder: SlurmFolder, log: Callable[[str], None]
    ) -> None:
        self._allocation, self._sizes, self._folder, self._log = allocation, sizes, folder, log
        self._steps: dict[str, _Step] = {}
        self._lost: set[str] = set()

    @property
    def address(self) -> str | None:
        """Where the driver joins; None while there is no Ray."""
        head = self._steps.get(self._allocation.own_node)
        return head.address if head is not None and head.is_up else None

    @property
    def nodes_up(self) -> list[str]:
        """Nodes that have joined and are alive."""
        return [step.node for step in self._steps.values() if step.is_up]

    def start(self, *, within: float, stop: Callable[[], bool]) -> None:
        """Bring up Ray on every node that has none, the head first; come back when all have joined, or in time.

        Args:
            within: seconds.
            stop: asked meanwhile; true ends the waiting.
        """
        deadline = time.monotonic() + within
        own = self._allocation.own_node
        self.settle()
        if self.address is None:
            self.stop()
            others = [node for node in self._allocation.nodes if node not in {own, *self._lost}]
            peer = [f"--peer={_node_address(others[0])}"] if others else []
            self._begin(own, "--head", f"--first-port={self._allocation.first_port}", *peer)
            self._wait(lambda: self._steps[own].address is not None, [own], deadline, stop)
            if self.address is None:
                return
        missing = [node for node in self._allocation.nodes if node not in self._steps.keys() | self._lost]
        for node in missing:
            self._begin(node, f"--peer={self.address}")
        self._wait(lambda: set(missing) <= set(self.nodes_up), missing, deadline, stop)

    def settle(self) -> None:
        """Forget the nodes that are gone; each that seems up is waited for until it says so, or counts as lost."""
        begin = time.monotonic()
        while any(step.is_up and step.last_seen < begin for step in self._steps.values()):
            time.sleep(0.1)
        self.note_losses()
        for step in [step for step in self._steps.values() if not step.is_up]:
            self._end([self._steps.pop(step.node)])

    def note_losses(self) -> None:
        """Say which nodes are gone. On one that is silent no step is started again: it would only wait."""
        for step in self._steps.values():
            if step.is_noted or not (step.is_lost or step.has_ended):
                continue
            step.is_noted = True
            if step.is_lost:
                self._lost.add(step.node)
            how = f"nothing was heard of it for {LOST_SECONDS} s" if step.is_lost else "Ray's step there has ended"
            self._log(f"node {step.node} is lost: {how}")

    def stop(self) -> None:
        """End Ray on every node."""
        # The head last: the others would complain.
        self._end([step for step in self._steps.values() if step.node != self._allocation.own_node])
        self._end(list(self._steps.values()))
        self._steps.clear()

    def _begin(self, node: str, *arguments: str) -> None:
        sizes, job_id = self._sizes, self._allocation.job_id
        witness = self._folder.witness(job_id)
        command = [
            *("srun", "--overlap", "--export=ALL", "--nodes=1", "--ntasks=1", f"--nodelist={node}", "--mpi=none"),
            *(f"--cpus-per-task={self._allocation.cpus_per_step}", "--unbuffered"),
            *("--job-name=ray", "--kill-on-bad-exit=1", *sizes.command, "-m", "orchestrator.slurm_node", *arguments),
            *(f"--tmp={sizes.tmp}", f"--cpus={sizes.cpus}", f"--gpus={sizes.gpus}"),
            f"--object-store-mb={sizes.object_store_mb}",
            *(f"--witness={witness}", f"--says={witness.read_text(encoding='utf-8')}"),
        ]
        if sizes.interface is not None:
            command.append(f"--interface={sizes.interface}")
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end tells the node to leave
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a signal for the group of the batch shell is not for Ray
        )
        step = self._steps[node] = _Step(node=node, process=process)
        path = self._folder.ray_log(job_id, node)
        threading.Thread(target=_listen, args=(step, path, shlex.join(command)), daemon=True).start()

    def _wait(
        self, joined: Callable[[], bool], nodes: Sequence[str], deadline: float, stop: Callable[[], bool]
    ) -> None:
        while not joined() and not stop():
            ended = [node for node in nodes if self._steps[node].process.poll() is not None]
            if len(ended) == len([node for node in nodes if node not in self.nodes_up]):
                break
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        for node in nodes:
            step = self._steps[node]
            if not step.is_up and not stop():
                status = step.process.poll()
                how = "did not join in time" if status is None else f"ended with status {status}"
                self._log(
                    f"Ray on node {node} {how}; its log: {self._folder.ray_log(self._allocation.job_id, node)}\n"
                    f"{_tail(self._folder.ray_log(self._allocation.job_id, node))}"
                )

    def _end(self, steps: Sequence[_Step]) -> None:
        for step in steps:
            assert step.process.stdin is not None
            step.process.stdin.close()
        deadline = time.monotonic() + STOP_SECONDS
        for step in steps:
            if step.is_lost:  # srun would wait for a node where nothing runs any more
                step.process.kill()
            with suppress(subprocess.TimeoutExpired):
                step.process.wait(max(deadline - time.monotonic(), 1))
                continue
            step.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                step.process.wait(ABORT_SECONDS)
                continue
            step.process.kill()
            step.process.wait()


def ray_environment(token: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What Ray and the driver are started with. The token is in no command line; else what the user has set wins."""
    kept = {name: value for name, value in environment.items() if name not in _FOREIGN}
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, SEVERAL_MACHINES: "1", "PYTHONUNBUFFERED": "1"}
    return {**_RAY_ENVIRONMENT, **kept, **own}


def _listen(step: _Step, path: Path, command: str) -> None:
    """Keep what the step prints, and take notice of its signs of life."""
    assert step.process.stdout is not None
    _note(path, f"$ {command}\n")
    for line in step.process.stdout:
        step.last_seen = time.monotonic()
        if line.startswith(UP):
            step.address = line.removeprefix(UP).strip()
        elif not line.startswith(ALIVE):
            _note(path, line)


def _note(path: Path, line: str) -> None:
    """Add a line, or go without it: a log that cannot be written is no reason to take a node for lost."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(line)


def _node_address(node: str) -> str:
    """Where SLURM itself reaches a node, whose name need not be known to the system; its name if SLURM is silent."""
    try:
        found = re.search(r"NodeAddr=(\S+)", ask_slurm("scontrol", "--oneliner", "show", "node", node))
    except SlurmRefused:
        return node
    return found[1] if found else node


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def python_command(python: str | None, prefix: str | None) -> tuple[str, ...]:
    """What starts Python where the videos are rendered."""
    return (*shlex.split(prefix or ""), python or sys.executable)


def own_tmp(folder: str, job_id: str) -> Path:
    """The job's own folder on each node's disk, short and nobody else's."""
    return Path(folder) / f"so-{job_id}"
