"""Which modules xfuser's attention is put on; what it computes is tested with whole renders on ranks."""

import torch
from diffusers import WanTransformer3DModel

from parallel.xfuser_attention import _attention_blocks
from spectrum import apply_spectrum


def test_blocks_are_found_where_a_forecaster_is_on_the_transformer_already():
    with torch.device("meta"):
        transformer = WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, num_layers=3, ffn_dim=32, text_dim=16, freq_dim=16
        )
    blocks = list(transformer.blocks)
    assert list(_attention_blocks(transformer)) == blocks
    apply_spectrum(transformer)
    assert list(_attention_blocks(transformer)) == blocks
