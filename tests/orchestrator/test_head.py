"""The output head alone against the end of the stock forward."""

import pytest
import torch

from orchestrator.head import run_head, time_embedding
from orchestrator.loading import load_transformer
from orchestrator.tokens import LatentShape

SHAPE = LatentShape(channels=16, frames=2, height=4, width=6, patch=(1, 2, 2))


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def transformer(request, model_folder):
    return load_transformer(model_folder, device=torch.device("cpu"), dtype=request.param)


@torch.no_grad()
@pytest.mark.parametrize("timestep", [999, 700.5, 3, 0])
def test_head_on_the_last_blocks_output_is_the_models_output_bit_for_bit(transformer, timestep):
    features = []
    handle = transformer.blocks[-1].register_forward_hook(lambda _module, _inputs, output: features.append(output))
    generator = torch.Generator().manual_seed(0)
    timestep_B = torch.tensor([timestep, timestep])
    velocity = transformer(
        hidden_states=torch.randn(2, 16, 2, 4, 6, generator=generator).to(transformer.dtype),
        timestep=timestep_B,
        encoder_hidden_states=torch.randn(2, 24, 128, generator=generator).to(transformer.dtype),
        return_dict=False,
    )[0]
    handle.remove()
    head = run_head(transformer, features[0], timestep_B)
    assert head.dtype == transformer.dtype
    assert torch.equal(SHAPE.to_latents(head), velocity)


@torch.no_grad()
def test_head_of_a_slice_is_the_slice_of_the_head(transformer):
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    features = torch.randn(1, 12, width, generator=torch.Generator().manual_seed(1)).to(transformer.dtype)
    timestep = torch.tensor([500])
    whole = run_head(transformer, features, timestep)
    parts = [run_head(transformer, part, timestep) for part in features.chunk(3, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@torch.no_grad()
def test_head_depends_on_the_true_timestep(transformer):
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    features = torch.randn(1, 4, width, generator=torch.Generator().manual_seed(1)).to(transformer.dtype)
    early, late = (run_head(transformer, features, torch.tensor([timestep])) for timestep in (900, 100))
    assert not torch.allclose(early, late, atol=1e-3)
    assert time_embedding(transformer, torch.tensor([900, 100])).shape == (2, width)
