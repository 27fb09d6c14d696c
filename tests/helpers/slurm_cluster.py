"""A small real SLURM on this host: munged, slurmctld, and a slurmd for each of a few virtual nodes.

Nothing outside its own folder is read or written: its own key, sockets, ports, configuration and state. With
`namespaces` (root only) each node has a network, host name, process tree, /dev/shm and local disk of its own, so
that it can be killed or cut off as a machine can.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

INSTALL = "apt-get install --no-install-recommends slurm-wlm munge iproute2"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
START_SECONDS = 60
STOP_SECONDS = 10

_CONF = """\
ClusterName=test
SlurmctldHost={host}({controller})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
DefMemPerCPU={memory_per_cpu}
MinJobAge=3600
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout={lost_after}
MessageTimeout=30
SlurmdParameters=config_overrides
MaxArraySize=1001
{nodes}
{more}
PartitionName=main Nodes={names} Default=YES MaxTime=1-0 DefaultTime=10 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes={names} MaxTime=1-0 DefaultTime=10 State=UP PriorityTier=10 PreemptMode=OFF
"""

_NODE = """
hostname {name}
mount --bind {folder}/hosts /etc/hosts
mount --bind {folder}/resolv.conf /etc/resolv.conf
mount --bind {folder}/disks/{name} {folder}/local
mount -t tmpfs -o size=2g tmpfs /dev/shm
slurmd -D -N {name} &
while wait -n; [ $? -ne 127 ]; do :; done
"""


def missing_programs() -> list[str]:
    """What of SLURM is not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


@dataclass(kw_only=True)
class SlurmCluster:
    """`start` raises it, `stop` takes it down; `run` calls one of SLURM's commands."""

    num_nodes: int = 4
    cpus: int = 4
    memory_mb: int = 4000
    namespaces: bool = False
    more: str = ""
    """Lines of slurm.conf: such nodes and partitions as need not run."""
    lost_after: int = 10
    """Seconds of silence after which SLURM gives a node up."""
    folder: Path = field(init=False)
    _daemons: dict[str, subprocess.Popen] = field(default_factory=dict, init=False)

    @property
    def nodes(self) -> list[str]:
        return [f"n{index}" for index in range(1, self.num_nodes + 1)]

    @property
    def environment(self) -> dict[str, str]:
        """What SLURM's commands need to find this cluster."""
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    @property
    def local_disk(self) -> Path:
        """A short folder which, with namespaces, is another one on each node."""
        return self.folder / "local"

    def start(self) -> None:
        # Not in pytest's own folder: a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in (
            "state",
            "log",
            "local",
            *(f"{room}/{node}" for room in ("spool", "disks") for node in self.nodes),
        ):
            (self.folder / name).mkdir(parents=True)
        self._octet = os.getpid() % 200 + 20
        self._tag = f"s{os.getpid() % 100000}"
        (self.folder / "slurm.conf").write_text(self._configuration())
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        munge_files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        munge_files |= {"seed-file": "munged.seed", "log-file": "log/munged.log"}
        options = [f"--{option}={self.folder / name}" for option, name in munge_files.items()]
        self._spawn("munged", ["munged", "--foreground", "--force", "--num-threads=2", *options])
        self.wait_until((self.folder / "munge.socket").exists, "munged's socket")
        if self.namespaces:
            self._make_network()
        self._spawn("slurmctld", ["slurmctld", "-D", "-i"])
        for node in self.nodes:
            self._start_node(node)
        self.wait_until(lambda: len(self.idle_nodes()) == self.num_nodes, "idle nodes")

    def stop(self) -> None:
        try:
            if self.run("squeue", "--noheader", "--format=%i", check=False).stdout.strip():
                self.run("scancel", "--quiet", f"--user={_user()}", check=False)
                self.wait_until(lambda: not self.run("squeue", "--noheader", check=False).stdout.strip(), "no jobs")
        finally:
            for name, daemon in reversed(self._daemons.items()):
                _end(daemon, kill=self.namespaces and name in self.nodes)
            if self.namespaces:
                self._remove_network()
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """One of SLURM's commands."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
        )

    def idle_nodes(self) -> list[str]:
        """Nodes that could take a job now."""
        answer = self.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %t", check=False).stdout
        return [line.split()[0] for line in answer.splitlines() if line.endswith((" idle", " mix"))]

    def job(self, job_id: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        answer = self.run("scontrol", "--oneliner", "show", "job", job_id).stdout
        return dict(re.findall(r"(\w+)=(\S+)", answer))

    def wait_for_job(self, job_id: str, *states: str, timeout: float = 120) -> dict[str, str]:
        """Until the job is in one of the states."""
        self.wait_until(lambda: self.job(job_id)["JobState"] in states, f"job {job_id} in {states}", timeout)
        return self.job(job_id)

    def start_now(self, job_id: str) -> None:
        """SLURM lets a job that was requeued wait for two minutes; not this one."""
        self.wait_for_job(job_id, "PENDING")
        self.run("scontrol", "update", f"jobid={job_id}", "starttime=now")

    def kill_node(self, node: str) -> None:
        """Every process of a node, at once, as if its power had failed. Needs namespaces."""
        assert self.namespaces
        self._daemons[node].kill()
        self._daemons.pop(node).wait()

    def restart_node(self, node: str) -> None:
        """Bring a killed node back."""
        self._start_node(node)
        self.wait_until(lambda: node in self.idle_nodes(), f"node {node}")

    def wait_until(self, holds: Callable[[], bool], what: str, timeout: float = START_SECONDS) -> None:
        deadline = time.monotonic() + timeout
        while not holds():
            ended = {name: daemon.returncode for name, daemon in self._daemons.items() if daemon.poll() is not None}
            assert not ended, f"ended: {ended}\n{self._logs(*ended)}"
            assert time.monotonic() < deadline, f"no {what} within {timeout} s"
            time.sleep(0.1)

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                # They die with the tests, however these end.
                ["setpriv", "--pdeathsig", "KILL", *command],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_node(self, node: str) -> None:
        if not self.namespaces:
            self._spawn(node, ["slurmd", "-D", "-N", node])
            return
        script = _NODE.format(name=node, folder=self.folder)
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        self._spawn(node, ["nsenter", f"--net=/run/netns/{self._netns(node)}", *unshare, "bash", "-c", script])

    def _configuration(self) -> str:
        host = socket.gethostname().split(".")[0]
        own = f"CPUs={self.cpus} RealMemory={self.memory_mb} State=UNKNOWN"
        if self.namespaces:
            lines = [
                f"NodeName={node} NodeHostname={node} NodeAddr={self._address(node)} Port=17001 {own}"
                for node in self.nodes
            ]
        else:
            lines = [
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={_free_port()} {own}"
                for node in self.nodes
            ]
        return _CONF.format(
            host=host,
            controller=self._address() if self.namespaces else "127.0.0.1",
            port=_free_port(),
            user=_user(),
            folder=self.folder,
            memory_per_cpu=self.memory_mb // self.cpus,
            lost_after=self.lost_after,
            nodes="\n".join(lines),
            names=",".join(self.nodes),
            more=self.more,
        )

    def _address(self, node: str | None = None) -> str:
        return f"10.77.{self._octet}.{254 if node is None else node[1:]}"

    def _netns(self, node: str) -> str:
        return f"{self._tag}-{node}"

    def _make_network(self) -> None:
        """A bridge with an address for the controller, and a namespace and a cable for each node."""
        hosts = ["127.0.0.1 localhost", f"{self._address()} {socket.gethostname().split('.')[0]}"]
        hosts += [f"{self._address(node)} {node}" for node in self.nodes]
        (self.folder / "hosts").write_text("\n".join(hosts) + "\n")
        (self.folder / "resolv.conf").write_text("options timeout:1 attempts:1\n")  # no name server: none answers
        bridge = f"{self._tag}br"
        _ip(f"link add {bridge} type bridge")
        _ip(f"addr add {self._address()}/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        for node in self.nodes:
            namespace, cable = self._netns(node), f"{self._tag}{node}"
            _ip(f"netns add {namespace}")
            _ip(f"link add {cable} type veth peer name eth0 netns {namespace}")
            _ip(f"link set {cable} master {bridge} up")
            _ip(f"-n {namespace} addr add {self._address(node)}/24 dev eth0")
            _ip(f"-n {namespace} link set eth0 up")
            _ip(f"-n {namespace} link set lo up")

    def _remove_network(self) -> None:
        for node in self.nodes:
            _ip(f"link del {self._tag}{node}", check=False)
            _ip(f"netns del {self._netns(node)}", check=False)
        _ip(f"link del {self._tag}br", check=False)

    def _logs(self, *names: str) -> str:
        return "\n".join((self.folder / "log" / f"{name}.out").read_text(errors="replace")[-2000:] for name in names)


def _user() -> str:
    return subprocess.run(["id", "--user", "--name"], capture_output=True, text=True, check=True).stdout.strip()


def _ip(command: str, *, check: bool = True) -> None:
    subprocess.run(["ip", *command.split()], capture_output=True, check=check)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end(daemon: subprocess.Popen, *, kill: bool) -> None:
    daemon.kill() if kill else daemon.terminate()
    try:
        daemon.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
