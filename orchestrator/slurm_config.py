"""What `python -m orchestrator.submit` takes beyond what a launch takes. Values stand in `conf/slurm/`."""

from dataclasses import dataclass, field

from orchestrator.config import LaunchConfig


@dataclass(kw_only=True, slots=True)
class SlurmConfig:
    """What is asked of SLURM, and how the job behaves in its allocation."""

    nodes: int = 1
    """Nodes of the job, or of each task of an array."""
    gpus_per_node: int = 8
    """GPUs that are used on each node; 0 renders on the CPU."""
    cpus_per_node: int | None = None
    """CPU cores of each node; null: cluster.cpus_per_rank for each GPU, or for each rank of one gang without GPUs,
    and for each decode worker on the CPU; these are spread over the nodes."""
    mem_per_node: str | None = None
    """Memory of each node as SLURM reads it (64G; 0 is all of it); null: the partition's default."""
    time: str = "8h"
    """Time limit: 8h, 90m, 1d12h, or as SLURM writes it (minutes, 08:00:00, 1-12:00:00)."""
    array: int | None = None
    """Tasks of a job array; each renders one shard of the batch (job.shard), in an allocation of its own."""
    array_at_once: int | None = None
    """Most tasks of the array that run at the same time; null: all."""
    partition: str | None = None
    """Partition; null: the cluster's default."""
    account: str | None = None
    """Account that is charged."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that the nodes must have."""
    exclusive: bool = False
    """Whole nodes, shared with no other job."""
    flags: list[str] = field(default_factory=list)
    """Further options of sbatch, each as --name or --name=value."""
    modules: list[str] = field(default_factory=list)
    """Modules that the job loads first."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that the job sets first."""
    command_prefix: list[str] = field(default_factory=list)
    """Words before every command that renders, such as [apptainer, exec, --nv, image.sif]."""
    python: str | None = None
    """Python behind the prefix; null: the one that submits. It has to have the project and its dependencies."""
    tmp: str = "/tmp"
    """Folder on each node's own disk for Ray's sockets and logs; at most 28 characters."""
    interface: str | None = None
    """Network interface that the nodes talk through, such as ib0; null: the one that leads to the first node."""
    signal_seconds: int = 300
    """Seconds before the time limit at which the job stops, keeps what it has and queues again."""
    requeue: bool = True
    """Queue again after the time limit, a preemption or the loss of a node."""
    no_kill: bool = True
    """Go on with the remaining nodes when one is lost."""
    join_seconds: int = 300
    """How long nodes may take to join; after that the job goes on with those that have."""
    driver_restarts: int = 3
    """How often the main command is started again within the allocation without having got any further."""
    shared_folder: str = "warn"
    """What to do where the output folder does not look shared by all nodes: warn, error or off."""


@dataclass(kw_only=True, slots=True)
class SubmitConfig(LaunchConfig):
    """Everything that `python -m orchestrator.submit` takes."""

    slurm: SlurmConfig = field(default_factory=SlurmConfig)
