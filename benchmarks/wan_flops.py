"""Floating-point operations of one pass of Wan's transformer: a multiplication and an addition count as two.

Counted are the matrix products, attention and the patch embedding, as `torch.utils.flop_counter` counts them. What
is elementwise (norms, gates, rotary embedding) is left out: it takes time, but no floor of a chip's matrix units.
"""

from dataclasses import astuple, dataclass

from benchmarks.wan_shapes import TransformerShape


@dataclass(frozen=True, kw_only=True, slots=True)
class PassFlops:
    """Operations of one pass of one branch and one video, by where they are done."""

    self_projections: int
    """Queries, keys, values and output of self-attention."""
    self_attention: int
    cross_projections: int
    cross_attention: int
    feed_forward: int
    embeddings: int
    """Patches, timestep and text, before the blocks."""
    head: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(astuple(self))


def pass_flops(shape: TransformerShape, *, num_tokens: int, num_text_tokens: int) -> PassFlops:
    """What one pass over `num_tokens` tokens takes, with a text of `num_text_tokens`."""
    width, layers, tokens, text = shape.width, shape.num_layers, num_tokens, num_text_tokens
    return PassFlops(
        self_projections=layers * 4 * _product(tokens, width, width),
        self_attention=layers * attention_flops(tokens, tokens, width),
        cross_projections=layers * 2 * (_product(tokens, width, width) + _product(text, width, width)),
        cross_attention=layers * attention_flops(tokens, text, width),
        feed_forward=layers * 2 * _product(tokens, width, shape.ffn_dim),
        embeddings=(
            _product(tokens, shape.patch_values, width)
            + _product(1, shape.freq_dim, width)
            + _product(1, width, width)
            + _product(1, width, 6 * width)
            + _product(text, shape.text_dim, width)
            + _product(text, width, width)
        ),
        head=_product(tokens, width, shape.patch_values),
    )


def attention_flops(num_queries: int, num_keys: int, width: int) -> int:
    """Attention of all heads together, `width` values wide: queries times keys, then probabilities times values."""
    return 2 * _product(num_queries, width, num_keys)


def _product(rows: int, inner: int, columns: int) -> int:
    """(rows × inner) times (inner × columns)."""
    return 2 * rows * inner * columns
