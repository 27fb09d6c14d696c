"""Where the blocks of a transformer are, and what they return. Knows models by name, and imports none."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockLists:
    """The lists of blocks that run one after another, all called with the same arguments."""

    names: tuple[str, ...]
    """Attributes of the transformer that hold the lists, in the order in which they run."""
    hidden_index: int | None = None
    """Where the image's hidden states stand in the pair that a block returns, the other being the text's; None
    where a block returns the hidden states alone."""


INPUTS_BETWEEN_BLOCKS = (
    "controlnet_block_samples",
    "controlnet_single_block_samples",
    "block_controlnet_hidden_states",
    "kv_cache",
)
"""Arguments of diffusers' transformers that hold a part for each block, or are added after each."""

_DUAL_AND_SINGLE = ("transformer_blocks", "single_transformer_blocks")

_KNOWN = {
    "FluxTransformer2DModel": BlockLists(names=_DUAL_AND_SINGLE, hidden_index=1),
    "HunyuanVideoTransformer3DModel": BlockLists(names=_DUAL_AND_SINGLE, hidden_index=0),
}

_ONE_LIST = ("blocks", "transformer_blocks")


def find_block_lists(transformer: nn.Module) -> BlockLists:
    """The block lists of `transformer`: of a known model, or of any with one list of modules and no other.

    Raises:
        ValueError: there is no such list, or there are others beside it in a model that is not known.
    """
    model = type(transformer).__name__
    for ancestor in type(transformer).__mro__:
        if ancestor.__name__ in _KNOWN:
            block_lists = _KNOWN[ancestor.__name__]
            if not any(len(getattr(transformer, name)) for name in block_lists.names):
                raise ValueError(f"{model} has no blocks in {' or '.join(block_lists.names)}")
            return block_lists
    present = [
        name for name, child in transformer.named_children() if isinstance(child, nn.ModuleList) and len(child)
    ]
    found = [name for name in _ONE_LIST if name in present]
    if not found:
        raise ValueError(f"{model} has no list of modules named `blocks` or `transformer_blocks`")
    if len(present) > 1:
        raise ValueError(
            f"{model} has the lists of modules {', '.join(present)}: Spectrum can stand in for several lists only in "
            f"{' and '.join(_KNOWN)}"
        )
    return BlockLists(names=(found[0],))
