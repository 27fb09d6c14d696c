"""Checks of single fields and of what belongs together, before anything is looked for or loaded."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Protocol

from orchestrator.choices import ClusterKind, Device
from orchestrator.config import ClusterConfig, JobConfig, LaunchConfig, ModelConfig
from orchestrator.devices import count_cpus, count_gpus
from orchestrator.errors import BadInput
from parallel.layout import Layout

SPATIAL_MULTIPLE = 16
"""Pixels of height and width behind one token: 8 in the autoencoder, 2 in the patch."""
TEMPORAL_MULTIPLE = 4
"""Frames behind one latent frame, after the first."""


_JOB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def check_job(job: JobConfig) -> str:
    """The job's name.

    Raises:
        BadInput: there is none, or it cannot be part of a file name.
    """
    if job.name is None:
        raise BadInput("no job: add +job=demo, +job=wan_t2v, or another file of conf/job/")
    if not _JOB_NAME.fullmatch(job.name):
        raise BadInput(
            f"job.name={job.name} becomes part of a folder's name: it must be letters, digits, '_', '-' and '.', "
            "at most 100, and begin with one of the first three"
        )
    return job.name


class Shape(Protocol):
    """What has the shape of a video: the configuration's, or a request."""

    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def num_frames(self) -> int: ...  # noqa: D102


class Video(Shape, Protocol):
    """A shape with the speed that it is shown at."""

    @property
    def fps(self) -> int: ...  # noqa: D102


class Denoising(Protocol):
    """Numbers of a denoising loop: the configuration's, or a request."""

    @property
    def num_steps(self) -> int: ...  # noqa: D102
    @property
    def guidance_scale(self) -> float: ...  # noqa: D102
    @property
    def flow_shift(self) -> float: ...  # noqa: D102


def num_tokens(shape: Shape) -> int:
    """Tokens of one video: latent frames × height/16 × width/16."""
    latent_frames = (shape.num_frames - 1) // TEMPORAL_MULTIPLE + 1
    return latent_frames * (shape.height // SPATIAL_MULTIPLE) * (shape.width // SPATIAL_MULTIPLE)


def video_problems(video: Video, model: ModelConfig, *, group: str = "") -> Iterator[str]:
    """Why the model cannot make such videos, each reason in one line; `group` stands before the fields' names."""
    for name, pixels in (("height", video.height), ("width", video.width)):
        if pixels < SPATIAL_MULTIPLE or pixels % SPATIAL_MULTIPLE:
            below = max(pixels // SPATIAL_MULTIPLE, 1) * SPATIAL_MULTIPLE
            yield (
                f"{group}{name}={pixels} must be a positive multiple of {SPATIAL_MULTIPLE}; nearest: "
                f"{below} or {below + SPATIAL_MULTIPLE}"
            )
    if video.height * video.width > model.max_pixels:
        yield (
            f"{group}height={video.height} × {group}width={video.width} is more than the {model.max_pixels} pixels "
            f"that {model.name} was made for (model.max_pixels)"
        )
    frames = video.num_frames
    if not 1 <= frames <= model.max_frames or frames % TEMPORAL_MULTIPLE != 1:
        below = max(min(frames, model.max_frames) - 1, 0) // TEMPORAL_MULTIPLE * TEMPORAL_MULTIPLE + 1
        yield (
            f"{group}num_frames={frames} must be {TEMPORAL_MULTIPLE}k + 1 and at most {model.max_frames} for "
            f"{model.name}; nearest: {below}"
        )
    if not 1 <= video.fps <= 240:
        yield f"{group}fps={video.fps} must lie in 1..240"


def denoising_problems(denoising: Denoising, *, group: str = "") -> Iterator[str]:
    """Which numbers of the denoising loop are out of range, each in one line."""
    if not 1 <= denoising.num_steps <= 1000:
        yield f"{group}num_steps={denoising.num_steps} must lie in 1..1000"
    if not 0 <= denoising.guidance_scale <= 100:
        yield f"{group}guidance_scale={denoising.guidance_scale} must lie in 0..100"
    if not 0 < denoising.flow_shift <= 100:
        yield f"{group}flow_shift={denoising.flow_shift} must be above 0 and at most 100"


def seed_problems(seed: int) -> Iterator[str]:
    """Whether no generator takes this seed."""
    if not 0 <= seed < 2**63:
        yield f"seed={seed} must lie in 0..2^63 - 1"


def check_defaults(config: LaunchConfig) -> None:
    """Raises BadInput where the configuration's own values cannot be a video."""
    problems = [
        *video_problems(config.video, config.model, group="video."),
        *denoising_problems(config.denoise, group="denoise."),
        *seed_problems(config.seed),
    ]
    if problems:
        raise BadInput(problems[0])


def check_cluster(cluster: ClusterConfig, kind: ClusterKind) -> None:
    """Raises BadInput where the cluster's fields do not go together."""
    if kind is ClusterKind.RAY and not cluster.address:
        raise BadInput("cluster.address is not set: cluster=ray joins a Ray cluster at host:port")
    if kind is ClusterKind.NONE and cluster.num_gangs not in (None, 1):
        raise BadInput(f"cluster.num_gangs={cluster.num_gangs} must be 1 with cluster=none")
    for name in ("num_gangs", "cpus_per_rank"):
        value = getattr(cluster, name)
        if value is not None and value < 1:
            raise BadInput(f"cluster.{name}={value} must be at least 1")
    if cluster.metrics and kind is ClusterKind.NONE:
        raise BadInput("cluster.metrics=true needs Ray, which gives the numbers out: cluster=local or cluster=ray")
    if cluster.metrics and kind is ClusterKind.LOCAL and find_spec("prometheus_client") is None:
        raise BadInput(
            "cluster.metrics=true needs what Ray gives numbers out with: pip install 'spectrum-orchestrator[metrics]'"
        )
    if cluster.object_store_mb < 80:
        raise BadInput(f"cluster.object_store_mb={cluster.object_store_mb} must be at least 80")


def check_room(cluster: ClusterConfig, kind: ClusterKind, device: Device, *, num_gangs: int, layout: Layout) -> None:
    """Raises BadInput where this machine is too small for the gangs."""
    ranks = layout.world_size * num_gangs
    if kind is ClusterKind.RAY:
        return  # the cluster is asked once it has been joined
    num_gpus = count_gpus()
    if device is Device.CUDA and ranks > num_gpus:
        raise BadInput(
            f"cluster.num_gangs={num_gangs} gangs of {layout.world_size} ranks ({layout}) need {ranks} GPUs, "
            f"this machine has {num_gpus}"
        )
    most = 4 * count_cpus()
    if device is Device.CPU and ranks * cluster.cpus_per_rank > most:
        raise BadInput(
            f"cluster.num_gangs={num_gangs} gangs of {layout.world_size} ranks ({layout}) with "
            f"cluster.cpus_per_rank={cluster.cpus_per_rank} are more than {most}, four times this machine's CPU cores"
        )
