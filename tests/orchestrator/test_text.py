"""Prompts become the embeddings that WanPipeline makes."""

import pytest
import torch

from orchestrator.loading import load_text_encoder
from orchestrator.render_state import Branch


@pytest.fixture(scope="module")
def encoder(model_folder):
    return load_text_encoder(model_folder, device=torch.device("cpu"), dtype=torch.float32, max_sequence_length=24)


@pytest.mark.parametrize(
    "prompt",
    [
        "a large red circle",
        "  two   spaces &amp; an entity ",
        "red " * 100,
        "круг 🎈 \n 円",
        "<html> ${x} \\",
    ],
)
@pytest.mark.parametrize("negative_prompt", ["", "blue"])
@torch.no_grad()
def test_embeddings_are_the_pipelines(encoder, pipe, make_request, prompt, negative_prompt):
    encoded = encoder.encode(make_request(prompt=prompt, negative_prompt=negative_prompt))
    cond, uncond = pipe.encode_prompt(prompt=prompt, negative_prompt=negative_prompt, max_sequence_length=24)
    assert torch.equal(encoded[Branch.COND], cond)
    assert torch.equal(encoded[Branch.UNCOND], uncond)
    assert cond.shape == (1, 24, 128)


def test_unguided_request_has_no_unconditional_embeddings(encoder, make_request):
    assert set(encoder.encode(make_request(guidance_scale=1.0))) == {Branch.COND}


def test_prompts_differ(encoder, make_request):
    red, blue = (encoder.encode(make_request(prompt=f"a {colour} circle"))[Branch.COND] for colour in ("red", "blue"))
    assert not torch.allclose(red, blue)
