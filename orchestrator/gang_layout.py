"""The layout of a gang: the one that was asked for, if it is possible, or the best for the ranks at hand."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.checks import num_tokens
from orchestrator.choices import ClusterKind, Device, DType, choose
from orchestrator.config import LaunchConfig
from orchestrator.devices import count_gpus
from orchestrator.errors import BadInput
from orchestrator.model_folder import autoencoder_config
from orchestrator.room import Room
from orchestrator.row_requests import VideoKind
from parallel.layout import (
    MAX_DEGREE,
    AttentionEngine,
    Layout,
    LayoutError,
    Problem,
    check_layout,
    choose_layout,
    possible_layouts,
)
from parallel.vae import DecodeError, check_parallel_decode

Kinds = Mapping[VideoKind, str]
"""The kinds of video in a batch, and where each stands first."""


def problems_of(config: LaunchConfig, kinds: Kinds, device: Device) -> tuple[Problem, ...]:
    """What a layout of ranks on `device` has to fit, each once.

    Raises:
        BadInput: there is no such attention engine.
    """
    return tuple(_first_kinds(config, kinds, device))


def is_float32_on_gpu(config: LaunchConfig, device: Device) -> bool:
    """Whether the model computes in float32 on GPUs."""
    return device is Device.CUDA and choose(DType, config.model.dtype, "model.dtype") is DType.FLOAT32


def layout_of(
    config: LaunchConfig,
    kinds: Kinds,
    kind: ClusterKind,
    device: Device,
    *,
    torchrun_world_size: int,
    room: Room | None = None,
) -> Layout:
    """The layout whose degrees were given, or else the best one of the ranks at hand.

    Args:
        config: of the launch.
        kinds: of the videos in the batch.
        kind: where the ranks run.
        device: of the ranks.
        torchrun_world_size: ranks that torchrun has started.
        room: what the cluster has for ranks, where it was asked.

    Raises:
        BadInput: it is impossible for some video of the batch; the line says where that is, why, and which layouts
            are possible.
    """
    first_kinds, parallel = _first_kinds(config, kinds, device), config.parallel
    where = {problem: _where(kinds, one) for problem, one in first_kinds.items()}
    degrees = {"cfg": parallel.cfg, "ring": parallel.ring, "ulysses": parallel.ulysses}
    given = {name: degree for name, degree in degrees.items() if degree is not None}
    if parallel.ranks is not None and not 1 <= parallel.ranks <= MAX_DEGREE:
        raise BadInput(f"parallel.ranks={parallel.ranks} must be at least 1 and at most {MAX_DEGREE}")
    try:
        if given:
            layout = Layout(**given)
            _check_given(layout, given, where)
        else:
            ranks = parallel.ranks or _ranks_at_hand(config, kind, device, torchrun_world_size, room)
            layout = _choose_for_all(ranks, where)
    except LayoutError as error:
        raise BadInput(str(error)) from error
    if parallel.ranks not in (None, layout.world_size):
        raise BadInput(f"parallel.ranks={parallel.ranks} is not the {layout.world_size} ranks of the layout {layout}")
    if kind is ClusterKind.NONE and layout.world_size != torchrun_world_size:
        raise BadInput(
            f"{_fields(given)}: the layout {layout} does not fit cluster=none with {torchrun_world_size} "
            f"process{'es' if torchrun_world_size > 1 else ''}; take parallel=auto, or start the ranks with "
            f"torchrun --nproc-per-node={layout.world_size} -m orchestrator.launch …"
        )
    return layout


def _first_kinds(config: LaunchConfig, kinds: Kinds, device: Device) -> dict[Problem, VideoKind]:
    """What a layout has to fit, and the first kind of video that asks for it."""
    engine = choose(AttentionEngine, config.parallel.engine, "parallel.engine")
    first: dict[Problem, VideoKind] = {}
    for kind in kinds:
        problem = Problem(
            num_heads=config.model.num_attention_heads,
            num_tokens=num_tokens(kind),
            is_guided=kind.is_guided,
            engine=engine,
            is_float32_on_gpu=is_float32_on_gpu(config, device),
        )
        first.setdefault(problem, kind)
    return first


def _where(kinds: Kinds, kind: VideoKind) -> str:
    """Where such a video stands first, to end a line with; nothing for a batch of one kind."""
    if len(kinds) == 1:
        return ""
    guided = "with" if kind.is_guided else "without"
    return f" ({kinds[kind]}: {kind.height}x{kind.width}, {kind.num_frames} frames, {guided} guidance)"


def _check_given(layout: Layout, given: dict[str, int], where: Mapping[Problem, str]) -> None:
    for problem, place in where.items():
        try:
            check_layout(layout, problem)
        except LayoutError as error:
            raise BadInput(f"{_fields(given)}: {error}{place}") from error


def _choose_for_all(num_ranks: int, where: Mapping[Problem, str]) -> Layout:
    """The layout that every problem can have and that is the best for the largest of them.

    Raises:
        BadInput: there is none; the line names the first video that excludes what those before it leave.
    """
    common: list[Layout] = []
    for problem, place in where.items():
        try:
            choose_layout(num_ranks, problem)
        except LayoutError as error:
            raise BadInput(f"{error}{place}") from error
        fitting = possible_layouts(num_ranks, problem)
        left = [layout for layout in common or fitting if layout in fitting]
        if not left:
            raise BadInput(
                f"no layout of {num_ranks} ranks fits all videos of the batch: those that fit the first ones "
                f"({', '.join(map(str, common))}) do not fit this one{place}; part the manifest or set parallel.ranks"
            )
        common = left
    largest = max(where, key=lambda problem: problem.num_tokens)
    return next(layout for layout in possible_layouts(num_ranks, largest) if layout in common)


def _fields(given: dict[str, int]) -> str:
    return " ".join(f"parallel.{name}={degree}" for name, degree in given.items()) or "parallel"


def _ranks_at_hand(
    config: LaunchConfig, kind: ClusterKind, device: Device, torchrun_world_size: int, room: Room | None
) -> int:
    """Ranks for a gang where nothing was said of them."""
    num_gangs = config.cluster.num_gangs or 1
    if kind is ClusterKind.NONE:
        return torchrun_world_size
    if device is Device.CPU:
        return 1
    if kind is ClusterKind.RAY and room is not None:
        return max(min(room.num_ranks // num_gangs, room.ranks_per_node), 1)
    return max(count_gpus() // num_gangs, 1)


def decodes_in_parallel(config: LaunchConfig, kinds: Kinds, layout: Layout, model_folder: Path) -> bool:
    """Whether all ranks of the gang decode together.

    Raises:
        BadInput: it is asked for and cannot be for some video of the batch.
    """
    if not config.decode.parallel or layout.world_size == 1:
        return False
    autoencoder = autoencoder_config(model_folder)
    for kind in kinds:
        place = _where(kinds, kind)
        if kind.decode_tiling:
            raise BadInput(f"decode.parallel and decode.tiling are both true: choose one of them{place}")
        try:
            check_parallel_decode(
                latent_rows=kind.height // autoencoder.get("scale_factor_spatial", 8),
                num_ranks=layout.world_size,
                patch_size=autoencoder.get("patch_size"),
            )
        except DecodeError as error:
            raise BadInput(f"decode.parallel=true is impossible here: {error}{place}") from error
    return True
