"""A video that was put down between two segments goes on bit for bit."""

import pytest
import torch

from orchestrator.checkpoint import read_checkpoint
from orchestrator.engine import Engine
from orchestrator.loading import load_scheduler, load_transformer
from orchestrator.text import TextEncoder
from parallel.layout import Layout
from parallel.token_group import TokenGroup
from spectrum import ForecastSettings

NUM_STEPS = 20
NUM_SEGMENTS = ForecastSettings().plan(NUM_STEPS).num_full


@pytest.fixture(scope="module")
def engine(model_folder):
    return Engine(
        transformer=load_transformer(model_folder, device=torch.device("cpu"), dtype=torch.float32),
        scheduler=load_scheduler(model_folder),
        token_group=TokenGroup(layout=Layout(), rank=0),
        spatial_scale=8,
        temporal_scale=4,
    )


@pytest.fixture(scope="module")
def request_and_embeds(pipe, make_request):
    request = make_request(num_steps=NUM_STEPS)
    return request, TextEncoder(pipe.tokenizer, pipe.text_encoder, max_sequence_length=24).encode(request)


def finish(engine, state) -> torch.Tensor:
    while not state.is_denoised:
        engine.run_segment(state)
    return engine.finish(state)


@pytest.fixture(scope="module")
def uninterrupted(engine, request_and_embeds):
    return finish(engine, engine.start(*request_and_embeds))


@pytest.mark.parametrize("num_segments", range(NUM_SEGMENTS + 1))
def test_video_goes_on_bit_for_bit_from_every_segment(
    engine, request_and_embeds, uninterrupted, tmp_path, num_segments
):
    state = engine.start(*request_and_embeds)
    for _ in range(num_segments):
        engine.run_segment(state)
    engine.save(state, tmp_path / "rank0.safetensors")
    restored = engine.load(tmp_path / "rank0.safetensors", request_and_embeds[0])
    assert restored.step == state.step
    assert restored.rounds == state.rounds
    assert torch.equal(finish(engine, restored), uninterrupted)


def test_checkpoint_of_another_request_is_refused(engine, request_and_embeds, make_request, tmp_path):
    path = tmp_path / "rank0.safetensors"
    engine.save(engine.start(*request_and_embeds), path)
    with pytest.raises(ValueError, match="holds tokens of shape"):
        engine.load(path, make_request(num_steps=NUM_STEPS, height=96))
    with pytest.raises(ValueError, match="holds the branches"):
        engine.load(path, make_request(num_steps=NUM_STEPS, guidance_scale=1.0))


@pytest.mark.parametrize("length", [0, 7, 500, -1])
def test_damaged_checkpoint_is_refused(engine, request_and_embeds, tmp_path, length):
    path = tmp_path / "rank0.safetensors"
    engine.save(engine.start(*request_and_embeds), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="no whole checkpoint"):
        read_checkpoint(path)
