"""Put the forecaster on a transformer, and take it off again."""

from torch import nn

from spectrum.settings import ForecastSettings
from spectrum.trunk import Trunk


def apply_spectrum(transformer: nn.Module, settings: ForecastSettings | None = None) -> Trunk:
    """Let `transformer` forecast most of its rounds, on any diffusers pipeline that names its steps.

    `transformer.blocks` is replaced by one trunk that holds the same block modules; no parameter is copied and
    `forward` is not touched. The number of steps is taken from each run of the pipeline. Apply it after the
    weights are loaded, and before or after context parallelism. Remove it before the model is saved: while it is
    applied, the blocks' parameters are named after the trunk that holds them.

    Args:
        transformer: a diffusers model with a list `blocks` that ends in one hidden state, such as
            `WanTransformer3DModel`.
        settings: forecaster and plan; the paper's by default.

    Returns:
        The trunk, which knows the rounds that were run.

    Raises:
        ValueError: `transformer` has no list of blocks, or has the forecaster already.
    """
    # Here and not above: the rest of the package works where diffusers is not installed.
    from spectrum.diffusers_hook import attach  # noqa: PLC0415

    blocks = _blocks_of(transformer)
    if isinstance(blocks[0], Trunk):
        raise ValueError(f"{type(transformer).__name__} has Spectrum applied already: remove_spectrum first")
    trunk = Trunk(blocks, settings or ForecastSettings())
    transformer.blocks = nn.ModuleList([trunk])
    attach(transformer, trunk)
    return trunk


def remove_spectrum(transformer: nn.Module) -> None:
    """Give `transformer` its own blocks back.

    Raises:
        ValueError: the forecaster is not applied to it.
    """
    from spectrum.diffusers_hook import detach  # noqa: PLC0415

    blocks = _blocks_of(transformer)
    trunk = blocks[0]
    if not isinstance(trunk, Trunk):
        raise ValueError(f"{type(transformer).__name__} does not have Spectrum applied")
    detach(transformer, trunk)
    transformer.blocks = trunk.blocks


def _blocks_of(transformer: nn.Module) -> nn.ModuleList:
    blocks = getattr(transformer, "blocks", None)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) == 0:
        raise ValueError(f"{type(transformer).__name__} has no list of modules named `blocks`")
    return blocks
