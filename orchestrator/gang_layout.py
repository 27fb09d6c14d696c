"""The layout of a gang: the one that was asked for, if it is possible, or the best for the ranks at hand."""

from pathlib import Path

from orchestrator.checks import num_tokens
from orchestrator.choices import ClusterKind, Device, choose
from orchestrator.config import LaunchConfig
from orchestrator.devices import count_gpus
from orchestrator.errors import BadInput
from orchestrator.model_folder import autoencoder_config
from parallel.layout import MAX_DEGREE, AttentionEngine, Layout, LayoutError, Problem, check_layout, choose_layout
from parallel.vae import DecodeError, check_parallel_decode


def problem_of(config: LaunchConfig) -> Problem:
    """What a layout has to fit.

    Raises:
        BadInput: there is no such attention engine.
    """
    return Problem(
        num_heads=config.model.num_attention_heads,
        num_tokens=num_tokens(config.video),
        is_guided=config.denoise.guidance_scale > 1,
        engine=choose(AttentionEngine, config.parallel.engine, "parallel.engine"),
    )


def layout_of(config: LaunchConfig, kind: ClusterKind, device: Device, torchrun_world_size: int) -> Layout:
    """The layout whose degrees were given, or else the best one of the ranks at hand.

    Raises:
        BadInput: it is impossible; the line says why, and which are possible.
    """
    problem, parallel = problem_of(config), config.parallel
    degrees = {"cfg": parallel.cfg, "ring": parallel.ring, "ulysses": parallel.ulysses}
    given = {name: degree for name, degree in degrees.items() if degree is not None}
    if parallel.ranks is not None and not 1 <= parallel.ranks <= MAX_DEGREE:
        raise BadInput(f"parallel.ranks={parallel.ranks} must be at least 1 and at most {MAX_DEGREE}")
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
            f"process{'es' if torchrun_world_size > 1 else ''}; take parallel=auto, or start the ranks with "
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


def decodes_in_parallel(config: LaunchConfig, layout: Layout, model_folder: Path) -> bool:
    """Whether all ranks of the gang decode together.

    Raises:
        BadInput: it is asked for and cannot be.
    """
    if not config.decode.parallel or layout.world_size == 1:
        return False
    if config.decode.tiling:
        raise BadInput("decode.parallel and decode.tiling are both true: choose one of them")
    autoencoder = autoencoder_config(model_folder)
    try:
        check_parallel_decode(
            latent_rows=config.video.height // autoencoder.get("scale_factor_spatial", 8),
            num_ranks=layout.world_size,
            patch_size=autoencoder.get("patch_size"),
        )
    except DecodeError as error:
        raise BadInput(f"decode.parallel=true is impossible here: {error}") from error
    return True
