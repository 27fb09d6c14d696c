"""From the configuration to an estimate: what a batch takes, and what each figure rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry, name_entries, parse_shard, part_of
from orchestrator.checks import check_defaults, check_job
from orchestrator.choices import Device
from orchestrator.cost_model import CostModel, VideoLoad, loads_of
from orchestrator.devices import count_cpus
from orchestrator.errors import BadInput
from orchestrator.estimate_config import EstimateConfig
from orchestrator.estimate_gangs import Gangs, gangs_for, gpu_decoders
from orchestrator.estimate_result import Estimate, KindEstimate
from orchestrator.estimate_room import Place, find_place
from orchestrator.estimate_slurm import estimate_slurm
from orchestrator.estimate_time import VideoSeconds, makespan, measured_seconds, modelled_seconds
from orchestrator.forecast_choice import check_plan, forecast_settings
from orchestrator.manifest import open_manifest
from orchestrator.measured_times import Condition, MeasuredRun, read_measured
from orchestrator.model_facts import ModelFacts, model_facts
from orchestrator.project import home_expanded
from orchestrator.request import content_hash
from orchestrator.row_requests import Drafts, read_drafts
from orchestrator.standing import done_ids
from parallel.published import published_pace
from parallel.render_case import Assumptions
from parallel.render_memory import GIB, checkpoint_bytes, footprint

START_SECONDS = 60.0
"""Until a gang renders, beside loading its model: libraries, Ray, process groups; assumed."""
CPU_START_SECONDS = 20.0
"""The same on the CPU, for a small model."""
LOAD_BYTES_PER_SECOND = 1e9
"""At which a model comes from the disk; assumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """What is to be rendered, and where."""

    job_name: str
    drafts: Drafts
    model: ModelFacts
    entries: Sequence[BatchEntry]
    left: Sequence[BatchEntry]
    place: Place


def plan_estimate(config: EstimateConfig) -> Estimate:
    """Check the configuration and say what the batch takes.

    Raises:
        BadInput: the first thing that cannot be done or does not fit, with what is allowed.
    """
    job_name, shard = check_job(config.job), parse_shard(config.job.shard)
    if config.cost.gpu_hour is not None and not config.cost.gpu_hour >= 0:
        raise BadInput(f"cost.gpu_hour={config.cost.gpu_hour} must be at least 0")
    manifest = open_manifest(prompt=config.prompt, batch=config.batch, job_batch=config.job.batch)
    check_defaults(config)
    check_plan(forecast_settings(config.forecast, flow_shift=config.denoise.flow_shift), config.denoise.num_steps)
    drafts = read_drafts(manifest, config)
    model = model_facts(config.model)
    all_entries = name_entries(drafts.drafts, model_fingerprint=model.fingerprint or "", dtype=model.dtype)
    entries = list(part_of(all_entries, shard).values())
    folder = _run_folder(config, job_name, list(all_entries))
    measured = _measured(config, folder)
    place = find_place(config, measured)
    done = set() if model.fingerprint is None else {*done_ids(folder, (one.video_id for one in entries))}
    left = [one for one in entries if one.video_id not in done]
    batch = _Batch(job_name=job_name, drafts=drafts, model=model, entries=entries, left=left, place=place)
    return _estimate(batch, config, measured)


def _estimate(basics: _Batch, config: EstimateConfig, measured: MeasuredRun | None) -> Estimate:
    model, place = basics.model, basics.place
    loads = loads_of(entry.request for entry in basics.entries)
    gangs = gangs_for(config, basics.drafts.kinds, loads, model, place, num_left=len(basics.left))
    counts = {replace(one, count=1): one.count for one in loads_of(entry.request for entry in basics.left)}
    kinds = [
        KindEstimate(
            load=load,
            num_left=counts.get(replace(load, count=1), 0),
            seconds=_seconds(config, model, gangs, load, measured),
            memory=footprint(gangs.memory_case(load)),
            checkpoint=checkpoint_bytes(gangs.memory_case(load)),
        )
        for load in loads
    ]
    start, start_basis = _start(measured, model, place)
    num_tasks = (config.slurm.array or 1) if place.is_slurm else 1
    at_once = min(config.slurm.array_at_once or num_tasks, num_tasks)
    durations = [(kind.seconds.total, kind.num_left) for kind in kinds]
    mean = sum(seconds * count for seconds, count in durations) / max(len(basics.left), 1)
    of_task = start + makespan(durations, gangs.number * num_tasks)
    taken = gangs.number * gangs.layout.world_size + gpu_decoders(config)
    taken = sum(place.room.nodes) if place.is_slurm else taken
    return Estimate(
        job_name=basics.job_name,
        model=model,
        place=place,
        num_videos=len(basics.entries),
        num_left=len(basics.left),
        gangs=gangs,
        num_tasks=num_tasks,
        kinds=tuple(kinds),
        start_seconds=start,
        start_basis=start_basis,
        seconds=of_task * -(-num_tasks // at_once) if basics.left else 0.0,
        gpus=0 if gangs.on_cpu else taken,
        task_seconds=of_task if basics.left else 0.0,
        gpu_hour=config.cost.gpu_hour,
        memory_basis=_memory_basis(measured, gangs),
        slurm=estimate_slurm(
            config.slurm,
            num_videos=len(basics.left),
            num_gangs=gangs.number,
            video_seconds=mean or 1.0,
            batch_seconds=start + makespan(durations, gangs.number),
            start_seconds=start,
            is_submitted=place.is_slurm,
        ),
    )


def _run_folder(config: EstimateConfig, job_name: str, video_ids: Sequence[str]) -> RunFolder:
    """Where a launch of the same would write."""
    if config.output is not None:
        return RunFolder(home_expanded(config.output).absolute())
    return RunFolder((Path("outputs") / f"{job_name}-{content_hash(list(video_ids))[:8]}").absolute())


def _measured(config: EstimateConfig, folder: RunFolder) -> MeasuredRun | None:
    """The earlier run that can be learned from.

    Raises:
        BadInput: one was named that has no finished video.
    """
    given = config.estimate.measured
    if given is None:
        return read_measured(folder.root)
    measured = read_measured(home_expanded(given).absolute())
    if measured is None:
        raise BadInput(f"estimate.measured={given} holds no video that was rendered in one go: give a run's folder")
    return measured


def _seconds(
    config: EstimateConfig, model: ModelFacts, gangs: Gangs, load: VideoLoad, measured: MeasuredRun | None
) -> VideoSeconds:
    """Of one video: measured where an earlier run has such videos, modelled where not."""
    costs, layout = gangs.costs, gangs.layout
    like = None if measured is None else measured.on(costs.chip).like(_condition(model, gangs, load, measured))
    if like is None or not like.videos:
        costs, basis = _paced(config, gangs, load)
        return modelled_seconds(costs, load, layout, shard_blocks=gangs.shard_blocks, basis=basis)
    basis = "assumed" if gangs.on_cpu else _published_basis(costs)
    modelled = modelled_seconds(costs, load, layout, shard_blocks=gangs.shard_blocks, basis=basis)
    decode = (costs.decode_parallel, load.is_tiled, costs.has_decoders)
    return measured_seconds(like, load, modelled, decode=decode, factor=_crowding(config, like, gangs)) or modelled


def _condition(model: ModelFacts, gangs: Gangs, load: VideoLoad, measured: MeasuredRun) -> Condition:
    """What an earlier run's videos must have had. A model that is not here is known by its name."""
    named = {video.condition.fingerprint for video in measured.videos if video.model == model.name}
    return Condition(
        fingerprint=model.fingerprint or next(iter(named), ""),
        dtype=model.dtype,
        height=load.size.height,
        width=load.size.width,
        num_frames=load.size.num_frames,
        is_guided=load.is_guided,
        layout=gangs.layout,
        shards_blocks=gangs.shard_blocks,
    )


def _paced(config: EstimateConfig, gangs: Gangs, load: VideoLoad) -> tuple[CostModel, str]:
    """The costs with the pace of this machine's CPU, if it is one; and what modelled seconds rest on."""
    costs = gangs.costs
    if not gangs.on_cpu:
        return costs, _published_basis(costs)
    from orchestrator.machine_pace import full_round_seconds  # noqa: PLC0415 - the models' libraries take seconds

    seconds = full_round_seconds(costs.model, load.size, num_threads=config.cluster.cpus_per_rank)
    assumptions = Assumptions(measured_full_round_seconds=seconds, text_seconds=0.1, video_seconds=0.5)
    return replace(costs, assumptions=assumptions), (
        f"{seconds:.2g} s for a full round on one rank, from one block timed here just now; decode and exchanges are "
        "assumed, and no earlier run has such videos: expect a factor of two"
    )


def _published_basis(costs: CostModel) -> str:
    chip = costs.chip
    share = costs.assumptions.efficiency * chip.matmul_flops / chip.peak_flops
    return (
        f"{chip.name} SXM, {share:.0%} of {chip.peak_flops / 1e12:.0f} TFLOP/s in matrix products, from "
        f"{published_pace(chip).source}"
    )


def _crowding(config: EstimateConfig, like: MeasuredRun, gangs: Gangs) -> float:
    """How many times more ranks share this machine's cores than did in the earlier run, as far as cores lack."""
    if not like.videos or not gangs.on_cpu:
        return 1.0
    each = gangs.layout.world_size * config.cluster.cpus_per_rank / count_cpus()
    return max(gangs.number * each, 1.0) / max(like.side_by_side * each, 1.0)


def _start(measured: MeasuredRun | None, model: ModelFacts, place: Place) -> tuple[float, str]:
    """Seconds until gangs render, and what that rests on."""
    seconds = measured.start_seconds if measured else None
    if measured is not None and seconds is not None:
        return seconds, f"measured in {measured.folder.name}"
    if place.device is Device.CPU:
        return CPU_START_SECONDS, "assumed"
    loaded = (model.shape_parameters + model.text_parameters) * model.value_bytes
    return START_SECONDS + loaded / LOAD_BYTES_PER_SECOND, (
        f"assumed: {START_SECONDS:.0f} s, and {loaded / 1e9:.0f} GB at {LOAD_BYTES_PER_SECOND / 1e9:g} GB/s"
    )


def _memory_basis(measured: MeasuredRun | None, gangs: Gangs) -> str:
    basis = "counted from shapes"
    if measured is not None:
        peak = max(video.peak_memory_bytes for video in measured.videos)
        basis += f"; {measured.folder.name} had at most {peak / GIB:.1f} GiB on a rank"
    return f"{basis}; a rank's share of this machine's memory" if gangs.on_cpu else basis
