"""From the configuration to a job's file: what is asked of SLURM, and what the job will run."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from orchestrator.choices import AUTO, ClusterKind, Device, choose
from orchestrator.config import CheckpointConfig
from orchestrator.errors import BadInput
from orchestrator.forecast_choice import forecast_settings
from orchestrator.gang_choice import describe_gangs
from orchestrator.launch_plan import LaunchPlan, plan_launch
from orchestrator.room import Room
from orchestrator.sbatch_script import JobScript, Verbatim, Word, write_script
from orchestrator.slurm_checks import (
    JobShape,
    SharedFolder,
    check_cluster_has,
    check_settings,
    check_shape,
    check_shared,
)
from orchestrator.slurm_config import SlurmConfig, SubmitConfig
from orchestrator.slurm_folder import SlurmFolder
from orchestrator.slurm_prediction import least_video_seconds
from orchestrator.slurm_query import Node, NoSlurm, SlurmRefused, slurm_state
from orchestrator.slurm_time import driver_seconds, format_time
from parallel.layout import Layout
from parallel.render_case import Rounds

LEAVING_SECONDS = 20
"""Of the seconds that a driver has to stop: for itself, once its gangs have come to a checkpoint."""
_OWN_FIELDS = {
    *("cluster", "cluster.kind", "cluster.address", "cluster.num_gangs", "cluster.device"),
    *("slurm", "output", "dry_run"),
}
"""Overrides that the job decides by itself."""
_OWN_FLAGS = {
    *(
        "--nodes",
        "--ntasks",
        "--ntasks-per-node",
        "--cpus-per-task",
        "--gpus-per-node",
        "--time",
        "--array",
        "--output",
    ),
    *("--job-name", "--signal", "--requeue", "--no-requeue", "--open-mode", "--no-kill", "--chdir", "--wrap"),
    *("--partition", "--account", "--qos", "--constraint", "--exclusive", "--mem", "--error"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPlan:
    """What will be submitted, checked."""

    run: Path
    """Output folder, absolute."""
    script: str
    """Text of the sbatch file."""
    gangs: str
    """The gangs of a job whose nodes all come up, and why, for people."""
    warnings: tuple[str, ...]


def plan_job(config: SubmitConfig, typed: Sequence[str]) -> JobPlan:
    """Check everything and write the job's file.

    Args:
        config: composed by Hydra; fields that were left open are filled in.
        typed: the command line's overrides, from which the main command's follow.

    Raises:
        BadInput: the first thing that cannot be done; that there is no SLURM is one only where it is to be submitted.
        SlurmRefused: SLURM does not answer, and it is to be submitted.
    """
    slurm = config.slurm
    seconds = check_settings(slurm)
    _check_flags(slurm)
    _fill_in(config, typed)
    num_gangs = config.cluster.num_gangs
    if config.job.objective is None:
        config.cluster.num_gangs = num_gangs or 1  # the job counts those that fit once its nodes are up
    launch = plan_launch(config, ask_room=lambda _device: _room(config))
    shape = _shape(config, launch)
    cpus = slurm.cpus_per_node or shape.cpus_per_node
    if cpus < shape.cpus_per_node:
        decoders = f" and {shape.decoders_per_node} of decode.workers" if shape.decoders_per_node else ""
        raise BadInput(
            f"slurm.cpus_per_node={cpus} is less than cluster.cpus_per_rank={shape.cpus_per_rank} for each of "
            f"{shape.ranks_per_node} ranks{decoders}"
        )
    check_shape(shape, num_gangs=num_gangs or 0)
    warnings = []
    try:
        state = slurm_state()
    except (NoSlurm, SlurmRefused) as error:
        if not config.dry_run:
            raise
        warnings.append(f"partition, GPUs and time limit were not checked: {error}")
    else:
        nodes = check_cluster_has(slurm, state, cpus_per_node=cpus, seconds=seconds)
        _check_time(config, launch.layout, nodes, seconds)
    run = launch.run_folder.root
    shared = check_shared(run, SharedFolder(slurm.shared_folder.lower()))
    warnings += [shared] if shared else []
    script = JobScript(
        title=f"{launch.job_name}: {slurm.nodes} × {slurm.gpus_per_node} GPUs. Written by orchestrator.submit",
        options=_options(slurm, launch.job_name, SlurmFolder(run), cpus=cpus, seconds=seconds),
        flags=slurm.flags,
        folder=str(Path.cwd()),
        modules=slurm.modules,
        environment=slurm.environment,
        command=[*_job_words(config, shape, run, num_gangs), "--", *_launch_words(config, launch, typed)],
    )
    because = f", {launch.gangs_because}" if launch.gangs_because else ""
    gangs = f"{describe_gangs(num_gangs or shape.num_gangs, launch.layout)}{because}"
    return JobPlan(run=run, script=write_script(script), gangs=gangs, warnings=tuple(warnings))


def _room(config: SubmitConfig) -> Room:
    """What the job's nodes will have for ranks, and for decode workers on GPUs."""
    slurm = config.slurm
    if slurm.gpus_per_node:
        return Room(nodes=(slurm.gpus_per_node,) * slurm.nodes, gpu_type=_gpu_type(slurm))
    if slurm.cpus_per_node is None:
        raise BadInput("job.objective on the CPU needs slurm.cpus_per_node, the cores that gangs are made of")
    return Room(nodes=(_ranks_beside_decoders(config, slurm.cpus_per_node),) * slurm.nodes)


def _ranks_beside_decoders(config: SubmitConfig, cpus_per_node: int) -> int:
    """At least one, for which there may be no room: that is refused once the whole shape is known."""
    return max(cpus_per_node // config.cluster.cpus_per_rank - _decoders_per_node(config), 1)


def _decoders_per_node(config: SubmitConfig) -> int:
    """Decode workers that need cores beside those of the ranks, on each node as SLURM gives all nodes the same."""
    on_cpu = choose(Device, config.decode.device, "decode.device") is Device.CPU
    return ceil(config.decode.workers / config.slurm.nodes) if on_cpu else 0


def _gpu_type(slurm: SlurmConfig) -> str | None:
    try:
        nodes = slurm_state().nodes
    except (NoSlurm, SlurmRefused):
        return None
    own = [node for node in nodes if slurm.partition in (None, *node.partitions)]
    return next((node.gpu_type for node in own if node.num_gpus >= slurm.gpus_per_node), None)


def _check_flags(slurm: SlurmConfig) -> None:
    own = {flag.partition("=")[0] for flag in slurm.flags} & _OWN_FLAGS
    if own:
        raise BadInput(f"slurm.flags holds {', '.join(sorted(own))}, which the job's file sets by itself")


def _fill_in(config: SubmitConfig, typed: Sequence[str]) -> None:
    """Decide what a launch would find out from the machine that it runs on: here another one."""
    cluster, parallel = config.cluster, config.parallel
    if cluster.kind != ClusterKind.RAY or cluster.address is not None:
        raise BadInput(
            f"cluster.kind={cluster.kind}: this command submits to SLURM (cluster=slurm); elsewhere use "
            "orchestrator.launch"
        )
    if config.slurm.array is not None and any(_field_of(argument) == "job.shard" for argument in typed):
        raise BadInput(f"job.shard is set and slurm.array={config.slurm.array} too: the array's tasks are the shards")
    cluster.address = "the job's own"
    on_gpu = config.slurm.gpus_per_node > 0
    if cluster.device.lower() == AUTO:
        cluster.device = Device.CUDA if on_gpu else Device.CPU
    if cluster.device.lower() == Device.CUDA and not on_gpu:
        raise BadInput("cluster.device=cuda but slurm.gpus_per_node=0")
    if cluster.device.lower() == Device.CPU and on_gpu:
        raise BadInput(
            f"cluster.device=cpu but slurm.gpus_per_node={config.slurm.gpus_per_node}: set it to 0, or take "
            "cluster.device=cuda"
        )
    degrees = (parallel.ranks, parallel.cfg, parallel.ring, parallel.ulysses)
    if config.job.objective is None and all(degree is None for degree in degrees):
        parallel.ranks = config.slurm.gpus_per_node or 1


def _shape(config: SubmitConfig, launch: LaunchPlan) -> JobShape:
    slurm, ranks_per_gang = config.slurm, launch.layout.world_size
    ranks_per_node = slurm.gpus_per_node
    if not ranks_per_node:
        cpus = slurm.cpus_per_node
        ranks_per_node = ranks_per_gang if cpus is None else _ranks_beside_decoders(config, cpus)
    return JobShape(
        nodes=slurm.nodes,
        ranks_per_node=ranks_per_node,
        ranks_per_gang=ranks_per_gang,
        cpus_per_rank=config.cluster.cpus_per_rank,
        gpus_per_node=slurm.gpus_per_node,
        decoders_per_node=_decoders_per_node(config),
        gpu_decoders=launch.decoders.count if launch.decoders.device is Device.CUDA else 0,
    )


def _check_time(config: SubmitConfig, layout: Layout, nodes: Sequence[Node], seconds: int) -> None:
    video = config.video
    rounds = forecast_settings(config.forecast, flow_shift=config.denoise.flow_shift).plan(config.denoise.num_steps)
    least = least_video_seconds(
        gpu_type=next((node.gpu_type for node in nodes), None),
        model=config.model.name,
        layout=layout,
        num_frames=video.num_frames,
        height=video.height,
        width=video.width,
        rounds=Rounds(num_steps=len(rounds), num_full=rounds.num_full),
    )
    usable = seconds - config.slurm.signal_seconds
    if least is not None and least > usable:
        raise BadInput(
            f"slurm.time={config.slurm.time} leaves {usable} s before slurm.signal_seconds="
            f"{config.slurm.signal_seconds}, but one video takes at least {least:.0f} s on {layout.world_size} "
            f"{nodes[0].gpu_type} (predicted at the chip's own pace)"
        )


def _options(
    slurm: SlurmConfig, job_name: str, folder: SlurmFolder, *, cpus: int, seconds: int
) -> dict[str, str | None]:
    log = str(folder.log(is_array=slurm.array is not None))
    if "\\" in log:
        raise BadInput(f"output={folder.run} holds a backslash, which SLURM's file names cannot")
    options: dict[str, str | None] = {
        "job-name": job_name,
        "nodes": str(slurm.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(cpus),
    }
    if slurm.gpus_per_node:
        options["gpus-per-node"] = str(slurm.gpus_per_node)
    optional = {"mem": slurm.mem_per_node, "partition": slurm.partition, "account": slurm.account}
    optional |= {"qos": slurm.qos, "constraint": slurm.constraint}
    options |= {name: value for name, value in optional.items() if value is not None}
    if slurm.exclusive:
        options["exclusive"] = None
    if slurm.array is not None:
        at_once = f"%{slurm.array_at_once}" if slurm.array_at_once else ""
        options["array"] = f"1-{slurm.array}{at_once}"
    options |= {"time": format_time(seconds), "signal": f"B:USR1@{slurm.signal_seconds}"}
    options["requeue" if slurm.requeue else "no-requeue"] = None
    if slurm.no_kill:
        options["no-kill"] = None
    # The percent signs of the folder are its own, those of the file's name SLURM's.
    return options | {"open-mode": "append", "output": f"{str(folder.root).replace('%', '%%')}/{Path(log).name}"}


def _job_words(config: SubmitConfig, shape: JobShape, run: Path, num_gangs: int | None) -> list[Word]:
    """The command that leads the job on its first node."""
    slurm = config.slurm
    values: dict[str, str | int | None] = {
        "--run": str(run),
        "--ranks-per-gang": shape.ranks_per_gang,
        "--ranks-per-node": shape.ranks_per_node,
        "--cpus-per-rank": shape.cpus_per_rank,
        "--gpus-per-node": shape.gpus_per_node,
        "--decoders-per-node": shape.decoders_per_node or None,
        "--num-gangs": num_gangs,
        "--object-store-mb": config.cluster.object_store_mb,
        "--tmp": slurm.tmp,
        "--interface": slurm.interface,
        "--join-seconds": slurm.join_seconds,
        "--signal-seconds": slurm.signal_seconds,
        "--driver-restarts": slurm.driver_restarts,
        "--python": slurm.python,
        "--prefix": shlex.join(slurm.command_prefix) or None,
    }
    words: list[Word] = [sys.executable, Verbatim("-m orchestrator.slurm_job")]
    words += [f"{name}={value}" for name, value in values.items() if value is not None]
    return words + ([] if slurm.requeue else ["--no-requeue"])


def _launch_words(config: SubmitConfig, launch: LaunchPlan, typed: Sequence[str]) -> list[Word]:
    """The main command's arguments, but for what the job alone knows: Ray's address and the number of gangs."""
    words: list[Word] = [argument for argument in typed if not _is_own(argument)]
    words += ["cluster=ray", f"cluster.device={config.cluster.device.lower()}", f"output={launch.run_folder.root}"]
    parallel = config.parallel
    given = {_field_of(argument) for argument in typed}
    if parallel.ranks is not None and "parallel.ranks" not in given:
        words.append(f"parallel.ranks={parallel.ranks}")
    if config.job.objective is not None:
        # Decided here once: at every start of the job the layout is the one that its checkpoints were written with.
        layout = launch.layout
        degrees = {"cfg": layout.cfg, "ring": layout.ring, "ulysses": layout.ulysses}
        words += ["job.objective=null", *(f"parallel.{name}={degree}" for name, degree in degrees.items())]
        words += ["parallel.shard_blocks=true"] if launch.shard_blocks else []
    if "cluster.cpus_per_rank" not in given:  # conf/cluster/slurm.yaml may say it, which the launch does not read
        words.append(f"cluster.cpus_per_rank={config.cluster.cpus_per_rank}")
    if config.checkpoint.grace == (usual := CheckpointConfig().grace) and "checkpoint.grace" not in given:
        grace = max(usual, driver_seconds(config.slurm.signal_seconds) - LEAVING_SECONDS)
        words.append(f"checkpoint.grace={grace:g}")
    if config.slurm.array is not None:
        words.append(Verbatim(f'"job.shard=$SLURM_ARRAY_TASK_ID/{config.slurm.array}"'))
    return words


def _is_own(argument: str) -> bool:
    name = _field_of(argument)
    return name in _OWN_FIELDS or name.startswith("slurm.")


def _field_of(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")
