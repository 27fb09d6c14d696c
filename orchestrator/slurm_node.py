"""Ray on one node of a SLURM job: `python -m orchestrator.slurm_node …`, a step that `orchestrator.slurm_job` starts.

It starts Ray for this job alone, tells over its standard output that it is up and then, every second, that it is
alive. When its standard input ends, as it does when the job's own process is gone, it ends Ray's processes and
removes their folder. (A signal would not do: srun answers one by killing everything on the node at once.)
"""

import argparse
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import psutil

from orchestrator.process_tree import no_process_left

UP = "slurm_node: up "
ALIVE = "slurm_node: alive"
EXIT_NOT_SHARED = 3
HEARTBEAT_SECONDS = 1
WITNESS_SECONDS = 15
"""A shared file system may take some time to show a new file on other machines."""
PORTS_OF_A_HEAD = 3
_ELSEWHERE = "192.0.2.1"
"""An address of the range for documentation: nothing is sent there, only the route is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Ray here until it ends or this process is told to go."""
    options = _parser().parse_args(arguments)
    if not _sees(options.witness, options.says):
        print(f"this node does not see {options.witness}: the output folder is not shared with it", flush=True)  # noqa: T201
        return EXIT_NOT_SHARED
    signal.signal(signal.SIGTERM, _leave)
    temporary = make_private(options.tmp)
    lock = (temporary / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        with no_process_left():
            return _run_ray(options, temporary / "r")  # Ray opens its own folder to all
    finally:
        # Two nodes of a test may be one machine: the last one to leave removes the folder.
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(temporary, ignore_errors=True)


def make_private(folder: Path) -> Path:
    """The folder, this user's own and closed to others.

    Raises:
        PermissionError: somebody else has put something there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's own folder")
    return folder


def own_address(*, interface: str | None, peer: str) -> str:
    """IPv4 address of this node: the interface's, or the one that `peer` is reached from.

    Raises:
        ValueError: the interface has no IPv4 address.
    """
    if interface is not None:
        known = psutil.net_if_addrs()
        found = [one.address for one in known.get(interface, []) if one.family == socket.AF_INET]
        if not found:
            raise ValueError(f"slurm.interface={interface} has no IPv4 address here; interfaces: {', '.join(known)}")
        return str(found[0])
    candidates = (_route_to(peer), _route_to(_ELSEWHERE), _resolved(socket.gethostname()))
    return next((one for one in candidates if one is not None and not one.startswith("127.")), "127.0.0.1")


def free_ports(first: int, *, count: int, tries: int = 50) -> int:
    """The first of `count` consecutive ports that nobody uses, from `first` on.

    Raises:
        OSError: there are none.
    """
    for start in range(first, first + tries * count, count):
        if all(_is_free(port) for port in range(start, start + count)):
            return start
    raise OSError(f"no {count} free ports from {first} on")


def _run_ray(options: argparse.Namespace, temporary: Path) -> int:
    address = own_address(interface=options.interface, peer=options.peer.rpartition(":")[0] or options.peer)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
        *(f"--node-ip-address={address}", f"--num-cpus={options.cpus}", f"--num-gpus={options.gpus}"),
        f"--object-store-memory={options.object_store_mb * 2**20}",
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
    ]
    if options.head:
        port = free_ports(options.first_port, count=PORTS_OF_A_HEAD)
        joined = f"{address}:{port}"
        command += ["--head", f"--port={port}", f"--dashboard-port={port + 1}"]
        command += ["--include-dashboard=false", f"--temp-dir={temporary}"]
        if find_spec("grpc") is not None:  # then Ray opens a client port as well: 10001, whoever has it already
            command.append(f"--ray-client-server-port={port + 2}")
    else:
        joined = options.peer
        command += [f"--address={joined}"]
    ray = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    up = threading.Event()
    leave = threading.Event()
    threading.Thread(target=_pass_on, args=(ray, up, joined), daemon=True).start()
    threading.Thread(target=_wait_for_end_of_input, args=(leave,), daemon=True).start()
    while not leave.wait(HEARTBEAT_SECONDS):
        status = ray.poll()
        if status is not None:
            return status or 1  # it never ends by itself
        if up.is_set():
            print(ALIVE, flush=True)  # noqa: T201
    return 0


def _pass_on(ray: "subprocess.Popen[str]", up: threading.Event, joined: str) -> None:
    assert ray.stdout is not None
    for line in ray.stdout:
        print(line, end="", flush=True)  # noqa: T201
        if "Ray runtime started" in line:
            print(f"{UP}{joined}", flush=True)  # noqa: T201
            up.set()


def _wait_for_end_of_input(leave: threading.Event) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    leave.set()


def _sees(witness: Path, says: str) -> bool:
    deadline = time.monotonic() + WITNESS_SECONDS
    while True:
        with suppress(OSError):
            if witness.read_text(encoding="utf-8") == says:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


def _route_to(peer: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _resolved(name: str) -> str | None:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.slurm_node", description=__doc__)
    parser.add_argument("--head", action="store_true", help="begin the job's Ray here")
    parser.add_argument(
        "--peer", default=_ELSEWHERE, help="the head's host:port; for the head, another node's address"
    )
    parser.add_argument("--first-port", type=int, default=20_000, help="where the head looks for free ports")
    parser.add_argument("--interface", help="network interface")
    parser.add_argument("--tmp", type=Path, required=True, help="the job's folder on this node's own disk")
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--object-store-mb", type=int, required=True)
    parser.add_argument("--witness", type=Path, required=True, help="a file of the output folder …")
    parser.add_argument("--says", required=True, help="… and its content")
    return parser


if __name__ == "__main__":
    sys.exit(main())
