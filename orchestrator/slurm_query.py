"""What the SLURM of this machine says of itself, asked with its own commands."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.errors import BadInput, OrchestratorError

ANSWER_SECONDS = 60
_FIELD = re.compile(r"(\w+)=(\S*)")
_GPUS = re.compile(r"gpu(?::([^:,()]+))?:(\d+)")


class SlurmRefused(OrchestratorError):
    """SLURM did not do what it was asked; carries what it said."""


class NoSlurm(BadInput):
    """There is no SLURM on this machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node."""

    name: str
    num_cpus: int
    num_gpus: int
    gpu_type: str | None
    """As the cluster calls it, such as h100."""
    partitions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """One partition."""

    name: str
    is_default: bool
    max_time: str
    """As SLURM writes it; "infinite" where there is no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlurmState:
    """The partitions and nodes that this user sees."""

    partitions: Sequence[Partition] = field(default_factory=tuple)
    nodes: Sequence[Node] = field(default_factory=tuple)


def ask_slurm(*command: str) -> str:
    """What one of SLURM's commands prints.

    Raises:
        NoSlurm: its commands are not on this machine.
        SlurmRefused: the command failed.
    """
    if shutil.which(command[0]) is None:
        raise NoSlurm(
            f"no SLURM here: {command[0]} is not on the PATH; submit from a login node, or write the job's file "
            "alone with dry_run=true"
        )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise SlurmRefused(f"{command[0]} did not answer within {ANSWER_SECONDS} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
        raise SlurmRefused(f"{command[0]}: {' '.join(said)}")
    return done.stdout


def slurm_state() -> SlurmState:
    """Partitions and nodes.

    Raises:
        NoSlurm: its commands are not on this machine.
        SlurmRefused: it does not answer.
    """
    partitions = ask_slurm("sinfo", "--noheader", "--format=%P %l")
    nodes = ask_slurm("scontrol", "--oneliner", "show", "nodes")
    return SlurmState(partitions=parse_partitions(partitions), nodes=parse_nodes(nodes))


def parse_partitions(text: str) -> list[Partition]:
    """From `sinfo --noheader --format="%P %l"`; the default one has a star."""
    found = {}
    for line in text.splitlines():
        name, max_time = line.split()
        clean = name.rstrip("*")
        found[clean] = Partition(name=clean, is_default=name.endswith("*"), max_time=max_time)
    return list(found.values())


def parse_nodes(text: str) -> list[Node]:
    """From `scontrol --oneliner show nodes`."""
    return [_node(dict(_FIELD.findall(line))) for line in text.splitlines() if line.startswith("NodeName=")]


def _node(fields: dict[str, str]) -> Node:
    gpus = [(kind, int(count)) for kind, count in _GPUS.findall(fields.get("Gres", ""))]
    return Node(
        name=fields["NodeName"],
        num_cpus=int(fields.get("CPUTot", "0")),
        num_gpus=sum(count for _, count in gpus),
        gpu_type=next((kind for kind, _ in gpus if kind), None),
        partitions=tuple(name for name in fields.get("Partitions", "").split(",") if name),
    )
