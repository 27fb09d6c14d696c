"""Put the forecaster on a transformer, and take it off again."""

from itertools import chain

from torch import nn

from spectrum.block_lists import find_block_lists
from spectrum.settings import ForecastSettings, Method
from spectrum.trunk import Trunk
from spectrum.weighted_sum import check_compiler


def apply_spectrum(
    transformer: nn.Module, settings: ForecastSettings | None = None, *, pipeline: object | None = None
) -> Trunk:
    """Let `transformer` forecast most of its rounds, on any diffusers pipeline that uses its `cache_context`.

    One trunk, which holds the same block modules, takes the place of all lists of blocks; no parameter is copied and
    `forward` is not touched. The number of steps is taken from each run of the pipeline; with a scheduler of a higher
    order each of its evaluations of the transformer counts as a step, as in the pipeline's own loop. Apply it after
    the weights are loaded, and before or after context parallelism. Remove it before the model is saved: while it is
    applied, the blocks' parameters are named after the trunk that holds them.

    Args:
        transformer: `FluxTransformer2DModel`, `HunyuanVideoTransformer3DModel`, or a diffusers model with one list
            `blocks` (or `transformer_blocks`) whose blocks take and return one hidden state and follow directly upon
            each other, such as `WanTransformer3DModel`.
        settings: forecaster and plan; the paper's by default. Of what a calibration was made for only the number of
            steps is checked here: model, solver, shift and guidance are the caller's to compare (`CalibratedFor`).
        pipeline: the pipeline that will run `transformer`. Needed where its `cache_context` does not say the step,
            as in `FluxPipeline` and `HunyuanVideoPipeline`: the step is then its scheduler's.

    Returns:
        The trunk, which knows the rounds that were run.

    Raises:
        ValueError: the blocks of `transformer` are not in such lists, it has the forecaster already, or its context
            parallelism leaves no rank all tokens, as method svd needs. Where it is enabled later, the first forward
            inside a `cache_context` raises this.
        RuntimeError: `transformer` is on a GPU, and the forecasts' kernel cannot be compiled.
    """
    # Here and not above: the rest of the package works where diffusers is not installed.
    from spectrum.diffusers_hook import attach, check_split  # noqa: PLC0415

    if _trunk_of(transformer) is not None:
        raise ValueError(f"{type(transformer).__name__} has Spectrum applied already: remove_spectrum first")
    block_lists = find_block_lists(transformer)
    own_lists = {name: getattr(transformer, name) for name in block_lists.names}
    blocks = next(iter(own_lists.values())) if len(own_lists) == 1 else chain.from_iterable(own_lists.values())
    settings = settings or ForecastSettings()
    check_split(transformer, settings.method)
    trunk = Trunk(blocks, settings, hidden_index=block_lists.hidden_index)
    if settings.method is not Method.NONE:
        for device in {parameter.device for parameter in transformer.parameters()}:
            check_compiler(device)
    trunk.stands_in_for = own_lists
    for name in own_lists:
        setattr(transformer, name, nn.ModuleList())
    getattr(transformer, block_lists.names[0]).append(trunk)
    attach(transformer, trunk, pipeline=pipeline)
    return trunk


def remove_spectrum(transformer: nn.Module) -> None:
    """Give `transformer` its own blocks back.

    Raises:
        ValueError: the forecaster is not applied to it.
    """
    from spectrum.diffusers_hook import detach  # noqa: PLC0415

    trunk = _trunk_of(transformer)
    if trunk is None:
        find_block_lists(transformer)  # says so where there never could be one
        raise ValueError(f"{type(transformer).__name__} does not have Spectrum applied")
    detach(transformer, trunk)
    for name, blocks in trunk.stands_in_for.items():
        setattr(transformer, name, blocks)


def _trunk_of(transformer: nn.Module) -> Trunk | None:
    lists = (child for child in transformer.children() if isinstance(child, nn.ModuleList))
    return next((module for module in chain.from_iterable(lists) if isinstance(module, Trunk)), None)
