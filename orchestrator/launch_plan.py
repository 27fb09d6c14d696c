"""From the configuration to what will be done: every check that can be made before anything is loaded."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from orchestrator.artifacts import RunFolder
from orchestrator.config import ClusterConfig, ForecastConfig, LaunchConfig, ModelConfig, VideoConfig
from orchestrator.devices import count_cpus, count_gpus
from orchestrator.errors import BadInput
from orchestrator.model_folder import autoencoder_config, find_model, model_fingerprint, transformer_heads
from orchestrator.prompts import read_prompts
from orchestrator.request import Request, content_hash, video_id
from parallel.layout import (
    AttentionEngine,
    Layout,
    LayoutError,
    Problem,
    check_layout,
    choose_layout,
)
from parallel.vae import DecodeError, check_parallel_decode
from spectrum import ForecastSettings, Method

SPATIAL_MULTIPLE = 16
"""Pixels of height and width behind one token: 8 in the autoencoder, 2 in the patch."""
TEMPORAL_MULTIPLE = 4
"""Frames behind one latent frame, after the first."""


class ClusterKind(StrEnum):
    """Where the ranks run."""

    NONE = "none"
    LOCAL = "local"
    RAY = "ray"


class Device(StrEnum):
    """What a rank computes on."""

    CPU = "cpu"
    CUDA = "cuda"


class DType(StrEnum):
    """Number format of the transformer and the text encoder."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchPlan:
    """Everything that a launch does, checked."""

    job_name: str
    requests: dict[str, Request]
    """By video id, in the order of the batch."""
    model: ModelSpec
    layout: Layout
    problem: Problem
    """What the layout was chosen for."""
    shard_blocks: bool
    decode_parallel: bool
    cluster: ClusterSpec
    run_folder: RunFolder
    dry_run: bool


def plan_launch(config: LaunchConfig, *, torchrun_world_size: int = 1) -> LaunchPlan:
    """Check the whole configuration and say what it comes to.

    Args:
        config: composed by Hydra.
        torchrun_world_size: ranks that torchrun has started; 1 in a plain process.

    Raises:
        BadInput: the first thing that cannot be done, in one line that names field, value and what is allowed.
    """
    if config.job.name is None:
        raise BadInput("no job: add +job=demo, +job=wan_t2v, or another file of conf/job/")
    prompts = read_prompts(prompt=config.prompt, batch=config.batch, job_batch=config.job.batch)
    _check_video(config.video, config.model)
    _check_denoise(config)
    forecast = _forecast_settings(config.forecast)
    kind = _choice(ClusterKind, config.cluster.kind, "cluster.kind")
    device = _device(config.cluster, config.model)
    _check_cluster(config.cluster, kind)
    model = _model_spec(config.model, device)
    layout = _layout(config, kind, device, torchrun_world_size)
    _check_room(config.cluster, kind, device, layout)
    requests = {}
    for prompt in prompts:
        request = _request(config, forecast, prompt)
        name = video_id(request, model_fingerprint=model.fingerprint, dtype=model.dtype)
        requests[name] = request
    return LaunchPlan(
        job_name=config.job.name,
        requests=requests,
        model=model,
        layout=layout,
        problem=_problem(config),
        shard_blocks=config.parallel.shard_blocks and layout.world_size > 1,
        decode_parallel=_decode_parallel(config, layout, model),
        cluster=ClusterSpec(
            kind=kind,
            address=config.cluster.address,
            device=device,
            num_gangs=config.cluster.num_gangs,
            cpus_per_rank=config.cluster.cpus_per_rank,
            object_store_mb=config.cluster.object_store_mb,
        ),
        run_folder=_run_folder(config, requests),
        dry_run=config.dry_run,
    )


def num_tokens(video: VideoConfig) -> int:
    """Tokens of one video: latent frames × height/16 × width/16."""
    latent_frames = (video.num_frames - 1) // TEMPORAL_MULTIPLE + 1
    return latent_frames * (video.height // SPATIAL_MULTIPLE) * (video.width // SPATIAL_MULTIPLE)


def _request(config: LaunchConfig, forecast: ForecastSettings, prompt: str) -> Request:
    return Request(
        prompt=prompt,
        negative_prompt=config.negative_prompt,
        seed=config.seed,
        height=config.video.height,
        width=config.video.width,
        num_frames=config.video.num_frames,
        fps=config.video.fps,
        num_steps=config.denoise.num_steps,
        guidance_scale=config.denoise.guidance_scale,
        flow_shift=config.denoise.flow_shift,
        forecast=forecast,
        decode_tiling=config.decode.tiling,
    )


def _check_video(video: VideoConfig, model: ModelConfig) -> None:
    for name, pixels in (("height", video.height), ("width", video.width)):
        if pixels < SPATIAL_MULTIPLE or pixels % SPATIAL_MULTIPLE:
            below = max(pixels // SPATIAL_MULTIPLE, 1) * SPATIAL_MULTIPLE
            raise BadInput(
                f"video.{name}={pixels} must be a positive multiple of {SPATIAL_MULTIPLE}; nearest: "
                f"{below} or {below + SPATIAL_MULTIPLE}"
            )
    if video.height * video.width > model.max_pixels:
        raise BadInput(
            f"video.height={video.height} × video.width={video.width} is more than the {model.max_pixels} pixels "
            f"that {model.name} was made for (model.max_pixels)"
        )
    frames = video.num_frames
    if not 1 <= frames <= model.max_frames or frames % TEMPORAL_MULTIPLE != 1:
        below = max(min(frames, model.max_frames) - 1, 0) // TEMPORAL_MULTIPLE * TEMPORAL_MULTIPLE + 1
        raise BadInput(
            f"video.num_frames={frames} must be {TEMPORAL_MULTIPLE}k + 1 and at most {model.max_frames} for "
            f"{model.name}; nearest: {below}"
        )
    if not 1 <= video.fps <= 240:
        raise BadInput(f"video.fps={video.fps} must lie in 1..240")


def _check_denoise(config: LaunchConfig) -> None:
    denoise = config.denoise
    if not 1 <= denoise.num_steps <= 1000:
        raise BadInput(f"denoise.num_steps={denoise.num_steps} must lie in 1..1000")
    if not 0 <= denoise.guidance_scale <= 100:
        raise BadInput(f"denoise.guidance_scale={denoise.guidance_scale} must lie in 0..100")
    if not 0 < denoise.flow_shift <= 100:
        raise BadInput(f"denoise.flow_shift={denoise.flow_shift} must be above 0 and at most 100")
    if not 0 <= config.seed < 2**63:
        raise BadInput(f"seed={config.seed} must lie in 0..2^63 - 1")


def _forecast_settings(config: ForecastConfig) -> ForecastSettings:
    method = _choice(Method, config.method, "forecast.method")
    try:
        return ForecastSettings(**(asdict(config) | {"method": method}))
    except ValueError as error:
        raise BadInput(f"forecast.{error}") from error


def _device(cluster: ClusterConfig, model: ModelConfig) -> Device:
    num_gpus = count_gpus()
    joins_cluster = cluster.kind == ClusterKind.RAY  # whose GPUs are elsewhere
    if cluster.device == "auto":
        device = Device.CUDA if num_gpus or (joins_cluster and model.needs_gpu) else Device.CPU
    else:
        device = _choice(Device, cluster.device, "cluster.device", also=("auto",))
    if device is Device.CUDA and not num_gpus and not joins_cluster:
        raise BadInput("cluster.device=cuda but this machine has no GPU that this process may use")
    if device is Device.CPU and model.needs_gpu:
        raise BadInput(
            f"model={model.name} needs a GPU and this machine has none that this process may use: render where there "
            "are GPUs, join a cluster with cluster=ray, or take model=tiny_wan"
        )
    return device


def _check_cluster(cluster: ClusterConfig, kind: ClusterKind) -> None:
    if kind is ClusterKind.RAY and not cluster.address:
        raise BadInput("cluster.address is not set: cluster=ray joins a Ray cluster at host:port")
    if kind is ClusterKind.NONE and cluster.num_gangs != 1:
        raise BadInput(f"cluster.num_gangs={cluster.num_gangs} must be 1 with cluster=none")
    for name in ("num_gangs", "cpus_per_rank"):
        value = getattr(cluster, name)
        if value < 1:
            raise BadInput(f"cluster.{name}={value} must be at least 1")
    if cluster.object_store_mb < 80:
        raise BadInput(f"cluster.object_store_mb={cluster.object_store_mb} must be at least 80")


def _model_spec(config: ModelConfig, device: Device) -> ModelSpec:
    dtype = _choice(DType, config.dtype, "model.dtype")
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
    if config.text_device == "auto":
        return device
    chosen = _choice(Device, config.text_device, "model.text_device", also=("auto",))
    if chosen is Device.CUDA and device is Device.CPU:
        raise BadInput("model.text_device=cuda but the ranks run on the CPU (cluster.device)")
    return chosen


def _problem(config: LaunchConfig) -> Problem:
    return Problem(
        num_heads=config.model.num_attention_heads,
        num_tokens=num_tokens(config.video),
        is_guided=config.denoise.guidance_scale > 1,
        engine=_choice(AttentionEngine, config.parallel.engine, "parallel.engine"),
    )


def _layout(config: LaunchConfig, kind: ClusterKind, device: Device, torchrun_world_size: int) -> Layout:
    problem, parallel = _problem(config), config.parallel
    degrees = {"cfg": parallel.cfg, "ring": parallel.ring, "ulysses": parallel.ulysses}
    given = {name: degree for name, degree in degrees.items() if degree is not None}
    if parallel.ranks is not None and parallel.ranks < 1:
        raise BadInput(f"parallel.ranks={parallel.ranks} must be at least 1")
    try:
        if given:
            layout = Layout(**given)
            _check_given(layout, given, problem)
        else:
            layout = choose_layout(
                parallel.ranks or _ranks_at_hand(config, kind, device, torchrun_world_size), problem
            )
    except LayoutError as error:
        raise BadInput(str(error)) from error
    if parallel.ranks not in (None, layout.world_size):
        raise BadInput(f"parallel.ranks={parallel.ranks} is not the {layout.world_size} ranks of the layout {layout}")
    if kind is ClusterKind.NONE and layout.world_size != torchrun_world_size:
        raise BadInput(
            f"{_fields(given)}: the layout {layout} does not fit cluster=none with {torchrun_world_size} "
            f"process{'es' if torchrun_world_size > 1 else ''}; leave the degrees null, or start the ranks with "
            f"torchrun --nproc-per-node={layout.world_size} -m orchestrator.launch …"
        )
    return layout


def _check_given(layout: Layout, given: dict[str, int], problem: Problem) -> None:
    try:
        check_layout(layout, problem)
    except LayoutError as error:
        raise BadInput(f"{_fields(given)}: {error}") from error


def _fields(given: dict[str, int]) -> str:
    return " ".join(f"parallel.{name}={degree}" for name, degree in given.items()) or "parallel"


def _ranks_at_hand(config: LaunchConfig, kind: ClusterKind, device: Device, torchrun_world_size: int) -> int:
    """Ranks for a gang where nothing was said of them."""
    if kind is ClusterKind.NONE:
        return torchrun_world_size
    if device is Device.CPU:
        return 1
    return max(count_gpus() // config.cluster.num_gangs, 1)


def _decode_parallel(config: LaunchConfig, layout: Layout, model: ModelSpec) -> bool:
    if not config.decode.parallel or layout.world_size == 1:
        return False
    if config.decode.tiling:
        raise BadInput("decode.parallel and decode.tiling are both true: choose one of them")
    autoencoder = autoencoder_config(model.folder)
    try:
        check_parallel_decode(
            latent_rows=config.video.height // autoencoder.get("scale_factor_spatial", 8),
            num_ranks=layout.world_size,
            patch_size=autoencoder.get("patch_size"),
        )
    except DecodeError as error:
        raise BadInput(f"decode.parallel=true is impossible here: {error}") from error
    return True


def _check_room(cluster: ClusterConfig, kind: ClusterKind, device: Device, layout: Layout) -> None:
    ranks = layout.world_size * cluster.num_gangs
    if kind is ClusterKind.RAY:
        return  # the cluster is asked once it has been joined
    num_gpus = count_gpus()
    if device is Device.CUDA and ranks > num_gpus:
        raise BadInput(
            f"cluster.num_gangs={cluster.num_gangs} gangs of {layout.world_size} ranks ({layout}) need {ranks} GPUs, "
            f"this machine has {num_gpus}"
        )
    most = 4 * count_cpus()
    if device is Device.CPU and ranks * cluster.cpus_per_rank > most:
        raise BadInput(
            f"cluster.num_gangs={cluster.num_gangs} gangs of {layout.world_size} ranks ({layout}) with "
            f"cluster.cpus_per_rank={cluster.cpus_per_rank} are more than {most}, four times this machine's CPU cores"
        )


def _run_folder(config: LaunchConfig, requests: Iterable[str]) -> RunFolder:
    if config.output is not None:
        if not config.output.strip():
            raise BadInput(f"output={config.output!r} is empty: give a folder")
        try:
            root = Path(config.output).expanduser()
        except RuntimeError as error:
            raise BadInput(f"output={config.output} names the home folder of a user who is not there") from error
    else:
        root = Path("outputs") / f"{config.job.name}-{content_hash(list(requests))[:8]}"
    folder = RunFolder(root.absolute())
    folder.check_writable()
    return folder


E = TypeVar("E", bound=StrEnum)


def _choice(kind: type[E], value: str, field: str, *, also: tuple[str, ...] = ()) -> E:
    try:
        return kind(value.lower())
    except ValueError as error:
        allowed = ", ".join([*also, *kind])
        raise BadInput(f"{field}={value} must be one of: {allowed}") from error
