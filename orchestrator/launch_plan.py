"""From the configuration to what will be done: every check that can be made before anything is loaded."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry, Shard, name_entries, parse_shard, part_of
from orchestrator.checks import check_cluster, check_defaults, check_job
from orchestrator.choices import ClusterKind, Device, DType, choose, choose_or_auto
from orchestrator.config import ClusterConfig, LaunchConfig, ModelConfig
from orchestrator.devices import count_gpus
from orchestrator.errors import BadInput
from orchestrator.forecast_choice import check_calibration, check_model, check_plan, forecast_settings, made_for
from orchestrator.gang_layout import decodes_in_parallel, problems_of
from orchestrator.gang_plan import AskRoom, Videos, plan_gangs
from orchestrator.manifest import open_manifest
from orchestrator.model_folder import find_model, model_fingerprint, transformer_heads
from orchestrator.policy import Policy
from orchestrator.policy_choice import policy_of
from orchestrator.reference import References, plan_references
from orchestrator.request import Request, content_hash
from orchestrator.row_requests import Drafts, Problems, read_drafts
from orchestrator.standing import done_ids
from parallel.layout import (
    AttentionEngine,
    Layout,
    LayoutError,
    Problem,
    choose_layout,
    reasons_against,
    splits_evenly,
)
from spectrum import Method


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model that was found, and how to load it."""

    name: str
    folder: Path
    fingerprint: str
    dtype: DType
    max_sequence_length: int
    text_device: Device
    """Where prompts are encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSpec:
    """Where the ranks run, and on what."""

    kind: ClusterKind
    address: str | None
    device: Device
    num_gangs: int
    cpus_per_rank: int
    object_store_mb: int
    metrics: bool = False
    """Whether numbers of the batch are given to Ray's metrics."""
    follows_nodes: bool = False
    """Whether gangs are added and let go as the cluster's nodes come and go."""
    keeps_to_node: bool = False
    """Whether the ranks of a gang have to be on one node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSpec:
    """Workers that decode while gangs denoise."""

    count: int
    device: Device


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchPlan:
    """Everything that a launch does, checked."""

    job_name: str
    shard: Shard
    """The part of the batch that this launch takes."""
    entries: dict[str, BatchEntry]
    """The shard's videos by video id: the most urgent first, otherwise in the batch's order."""
    references: References
    """What is rendered for comparison besides."""
    model: ModelSpec
    layout: Layout
    gangs_because: str
    """Why there are so many gangs of this size, for people; nothing where that was asked for."""
    problems: tuple[Problem, ...]
    """What the layout fits: the shapes of the whole batch."""
    shard_blocks: bool
    decode_parallel: bool
    cluster: ClusterSpec
    decoders: DecoderSpec
    run_folder: RunFolder
    policy: Policy
    """How failures are met, and when checkpoints are written."""
    dry_run: bool

    @property
    def requests(self) -> dict[str, Request]:
        """The requests of `entries`."""
        return {video_id: entry.request for video_id, entry in self.entries.items()}

    @property
    def renders(self) -> dict[str, BatchEntry]:
        """All that is rendered: `entries`, then what they are compared with."""
        return self.entries | self.references.entries

    @property
    def engine(self) -> AttentionEngine:
        """Whose code computes self-attention."""
        return self.problems[0].engine

    @property
    def is_uneven(self) -> bool:
        """Whether some video's tokens do not divide by the slices."""
        return not all(splits_evenly(self.layout, problem) for problem in self.problems)


def plan_launch(config: LaunchConfig, *, torchrun_world_size: int = 1, ask_room: AskRoom | None = None) -> LaunchPlan:
    """Check the whole configuration and say what it comes to.

    Args:
        config: composed by Hydra.
        torchrun_world_size: ranks that torchrun has started; 1 in a plain process.
        ask_room: asks the cluster that is to be joined what it has room for, once all else has been checked. Without
            it there is one gang at first, and no objective is heeded.

    Raises:
        BadInput: the first thing that cannot be done, in one line that names field, value and what is allowed; of a
            manifest all things, a line for each.
    """
    job_name = check_job(config.job)
    shard = parse_shard(config.job.shard)
    manifest = open_manifest(prompt=config.prompt, batch=config.batch, job_batch=config.job.batch)
    check_defaults(config)
    check_plan(forecast_settings(config.forecast, flow_shift=config.denoise.flow_shift), config.denoise.num_steps)
    drafts = read_drafts(manifest, config)
    kind = choose(ClusterKind, config.cluster.kind, "cluster.kind")
    device = _device(config.cluster, kind, config.model)
    check_cluster(config.cluster, kind)
    model = _model_spec(config.model, device)
    _check_calibrations(config, manifest.label, drafts, model)
    entries = name_entries(drafts.drafts, model_fingerprint=model.fingerprint, dtype=model.dtype)
    references = plan_references(
        entries, shard, config.quality, model_fingerprint=model.fingerprint, dtype=model.dtype
    )
    run_folder = replace(_run_folder(config, job_name, entries), reference_ids=frozenset(references.entries))
    part, decoders = part_of(entries, shard), _decoders(config, kind)
    own = [*part, *references.entries]
    gangs = plan_gangs(
        config,
        Videos(
            kinds=drafts.kinds,
            requests=[entry.request for entry in entries.values()],
            num_own=len(own),
            num_waiting=len(own) - len(done_ids(run_folder, own)),
        ),
        kind,
        device,
        model_folder=model.folder,
        encodes_on_gpu=model.text_device is Device.CUDA,
        gpu_decoders=decoders.count if decoders.device is Device.CUDA else 0,
        torchrun_world_size=torchrun_world_size,
        ask_room=ask_room,
    )
    layout = gangs.layout
    _check_svd((entry.request for entry in part.values()), layout)
    return LaunchPlan(
        job_name=job_name,
        shard=shard,
        entries=part,
        references=references,
        model=model,
        layout=layout,
        gangs_because=gangs.because,
        problems=problems_of(config, drafts.kinds, device),
        shard_blocks=gangs.shard_blocks and layout.world_size > 1,
        decode_parallel=decodes_in_parallel(config, drafts.kinds, layout, model.folder),
        cluster=ClusterSpec(
            kind=kind,
            address=config.cluster.address,
            device=device,
            num_gangs=gangs.num_gangs,
            cpus_per_rank=config.cluster.cpus_per_rank,
            object_store_mb=config.cluster.object_store_mb,
            metrics=config.cluster.metrics,
            follows_nodes=gangs.follows_nodes,
            keeps_to_node=gangs.keeps_to_node,
        ),
        run_folder=run_folder,
        decoders=decoders,
        policy=policy_of(config),
        dry_run=config.dry_run,
    )


def _check_svd(requests: Iterable[Request], layout: Layout) -> None:
    """Raises BadInput where a forecaster that needs all tokens on one rank has a slice of them."""
    if layout.sequence_degree > 1 and any(one.forecast.method is Method.SVD for one in requests):
        raise BadInput(
            f"forecast.method=svd needs all tokens of a video on one rank, and the layout ({layout}) splits them: "
            "parallel=auto parallel.ranks=1, or another method"
        )


def _check_calibrations(config: LaunchConfig, label: str, drafts: Drafts, model: ModelSpec) -> None:
    """Raises BadInput where a calibration was made for something else than the videos that it is used for."""
    launched, problems = made_for(config, model.folder, model.fingerprint), Problems(label)
    check_model(config.forecast, launched)
    for video, where in drafts.calibrated.items():
        try:
            check_calibration(
                video.forecast,
                replace(
                    launched,
                    num_steps=video.num_steps,
                    flow_shift=video.flow_shift,
                    guidance_scale=video.guidance_scale,
                ),
            )
        except BadInput as error:
            problems.add(where, str(error))
    problems.raise_if_any()


def _device(cluster: ClusterConfig, kind: ClusterKind, model: ModelConfig) -> Device:
    num_gpus = count_gpus()
    joins_cluster = kind is ClusterKind.RAY  # whose GPUs are elsewhere
    device = choose_or_auto(Device, cluster.device, "cluster.device")
    if device is None:
        device = Device.CUDA if num_gpus or (joins_cluster and model.needs_gpu) else Device.CPU
    if device is Device.CUDA and not num_gpus and not joins_cluster:
        raise BadInput("cluster.device=cuda but this machine has no GPU that this process may use")
    if device is Device.CPU and model.needs_gpu:
        raise BadInput(
            f"model={model.name} needs a GPU and this machine has none that this process may use: render where there "
            "are GPUs, join a cluster with cluster=ray, or take model=tiny_wan"
        )
    return device


def _model_spec(config: ModelConfig, device: Device) -> ModelSpec:
    dtype = choose(DType, config.dtype, "model.dtype")
    if config.max_sequence_length < 1:
        raise BadInput(f"model.max_sequence_length={config.max_sequence_length} must be at least 1")
    folder = find_model(config.path)
    heads = transformer_heads(folder)
    if heads != config.num_attention_heads:
        raise BadInput(
            f"model.path={config.path} has {heads} attention heads but model={config.name} has "
            f"{config.num_attention_heads}: the folder holds another model"
        )
    return ModelSpec(
        name=config.name,
        folder=folder,
        fingerprint=content_hash([model_fingerprint(folder), config.max_sequence_length]),
        dtype=dtype,
        max_sequence_length=config.max_sequence_length,
        text_device=_text_device(config, device),
    )


def _text_device(config: ModelConfig, device: Device) -> Device:
    chosen = choose_or_auto(Device, config.text_device, "model.text_device") or device
    if chosen is Device.CUDA and device is Device.CPU:
        raise BadInput("model.text_device=cuda but the ranks run on the CPU (cluster.device)")
    return chosen


def _run_folder(config: LaunchConfig, job_name: str, video_ids: Iterable[str]) -> RunFolder:
    """Named after the whole batch, so that its shards share it."""
    if config.output is not None:
        if not config.output.strip():
            raise BadInput(f"output={config.output!r} is empty: give a folder")
        try:
            root = Path(config.output).expanduser()
        except RuntimeError as error:
            raise BadInput(f"output={config.output} names the home folder of a user who is not there") from error
    else:
        root = Path("outputs") / f"{job_name}-{content_hash(list(video_ids))[:8]}"
    folder = RunFolder(root.absolute())
    folder.check_writable()
    return folder


def _decoders(config: LaunchConfig, kind: ClusterKind) -> DecoderSpec:
    decode = config.decode
    device = choose(Device, decode.device, "decode.device")
    if decode.workers < 0:
        raise BadInput(f"decode.workers={decode.workers} must be at least 0")
    if decode.workers and decode.parallel:
        raise BadInput("decode.workers and decode.parallel are both set: workers decode alone, each its own video")
    if decode.workers and kind is ClusterKind.NONE:
        raise BadInput(f"decode.workers={decode.workers} needs Ray: cluster=local or cluster=ray")
    if decode.workers and device is Device.CUDA and kind is ClusterKind.LOCAL and count_gpus() < decode.workers:
        raise BadInput(
            f"decode.workers={decode.workers} with decode.device=cuda: this machine has {count_gpus()} GPUs"
        )
    return DecoderSpec(count=decode.workers, device=device)


def smaller_plan(plan: LaunchPlan, layout: Layout) -> LaunchPlan | None:
    """The plan with the largest layout of fewer ranks than `layout` that fits every video; None if there is none."""
    for ranks in range(layout.world_size - 1, 0, -1):
        try:
            smaller = choose_layout(ranks, plan.problems[0])
        except LayoutError:
            continue
        if not any(reasons_against(smaller, problem) for problem in plan.problems):
            return replace(
                plan,
                layout=smaller,
                shard_blocks=plan.shard_blocks and ranks > 1,
                decode_parallel=plan.decode_parallel and ranks > 1,
            )
    return None
