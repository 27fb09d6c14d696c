"""Attention spelled out as two matrix products, for training on CPUs.

torch's fused attention for CPUs has a backward pass in bfloat16 that takes ten times as long as everything else
in a training step. This processor computes what `WanAttnProcessor` computes for text to video; rendering uses the
stock processor.
"""

from typing import Any

import torch
from torch import Tensor

RotaryEmbedding = tuple[Tensor, Tensor]


class PlainAttentionProcessor:
    """Drop-in for `WanAttnProcessor` without fused attention, image context or masks."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: RotaryEmbedding | None = None,
    ) -> Tensor:
        """Attend from `hidden_states` (batch, tokens, width) to themselves or to the text."""
        assert attention_mask is None, "Wan attends to all tokens"
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query_BSNH = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key_BTNH = attn.norm_k(attn.to_k(context)).unflatten(2, (attn.heads, -1))
        value_BTNH = attn.to_v(context).unflatten(2, (attn.heads, -1))
        if rotary_emb is not None:
            query_BSNH = _rotate(query_BSNH, rotary_emb)
            key_BTNH = _rotate(key_BTNH, rotary_emb)
        dtype = value_BTNH.dtype
        query_BNSH = query_BSNH.transpose(1, 2).to(dtype) * query_BSNH.shape[-1] ** -0.5
        scores_BNST = query_BNSH @ key_BTNH.permute(0, 2, 3, 1).to(dtype)
        mixed_BNSH = scores_BNST.float().softmax(dim=-1).to(dtype) @ value_BTNH.transpose(1, 2)
        out: Tensor = attn.to_out[0](mixed_BNSH.transpose(1, 2).flatten(2, 3))
        return out


def _rotate(states_BSNH: Tensor, rotary_emb: RotaryEmbedding) -> Tensor:
    """Rotary position embedding on pairs of neighbouring channels."""
    cos, sin = rotary_emb[0][..., 0::2], rotary_emb[1][..., 1::2]
    even, odd = states_BSNH.unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rotated.flatten(-2).type_as(states_BSNH)
