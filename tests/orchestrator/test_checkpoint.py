"""A video that was put down between two segments goes on bit for bit."""

from dataclasses import replace

import pytest
import torch

from orchestrator.checkpoint import read_checkpoint, write_checkpoint
from orchestrator.engine import Engine
from orchestrator.freezing import freeze, freeze_latents, thaw, thaw_latents
from orchestrator.loading import load_scheduler, load_transformer
from orchestrator.text import TextEncoder
from parallel.layout import Layout
from parallel.token_group import TokenGroup
from spectrum import CalibratedFor, Calibration, ForecastSettings, Round

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
    write_checkpoint(tmp_path / "rank0.safetensors", freeze(state))
    restored = thaw(engine, read_checkpoint(tmp_path / "rank0.safetensors"), request_and_embeds[0])
    assert restored.step == state.step
    assert restored.rounds == state.rounds
    assert torch.equal(finish(engine, restored), uninterrupted)


def test_checkpoint_of_another_request_is_refused(engine, request_and_embeds, make_request, tmp_path):
    path = tmp_path / "rank0.safetensors"
    write_checkpoint(path, freeze(engine.start(*request_and_embeds)))
    with pytest.raises(ValueError, match="holds tokens of shape"):
        thaw(engine, read_checkpoint(path), make_request(num_steps=NUM_STEPS, height=96))
    with pytest.raises(ValueError, match="holds the branches"):
        thaw(engine, read_checkpoint(path), make_request(num_steps=NUM_STEPS, guidance_scale=1.0))


@pytest.mark.parametrize("length", [0, 7, 500, -1])
def test_damaged_checkpoint_is_refused(engine, request_and_embeds, tmp_path, length):
    path = tmp_path / "rank0.safetensors"
    write_checkpoint(path, freeze(engine.start(*request_and_embeds)))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="no whole checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "damped", "features": "velocity", "max_history": 3},
        {"method": "damped", "error_budget": 0.1, "max_history": 3},
        {"method": "spectrum", "max_history": 4},
    ],
)
def test_bounded_histories_and_budgets_go_on_bit_for_bit(engine, request_and_embeds, tmp_path, changes):
    request = replace(request_and_embeds[0], forecast=ForecastSettings(**changes))
    whole = finish(engine, engine.start(request, request_and_embeds[1]))
    state = engine.start(request, request_and_embeds[1])
    for segment in range(6):
        if state.is_denoised:
            break
        engine.run_segment(state)
        path = tmp_path / f"{segment}.safetensors"
        write_checkpoint(path, freeze(state))
        assert torch.equal(finish(engine, thaw(engine, read_checkpoint(path), request)), whole)


@pytest.mark.parametrize("num_segments", [0, 1, 4])
def test_video_goes_on_from_its_latents_with_full_rounds_first(
    engine, request_and_embeds, uninterrupted, tmp_path, num_segments
):
    request, embeds = request_and_embeds
    state = engine.start(*request_and_embeds)
    for _ in range(num_segments):
        engine.run_segment(state)
    path = tmp_path / "latents.safetensors"
    write_checkpoint(path, freeze_latents(engine, state))
    restored = thaw_latents(engine, read_checkpoint(path), request, embeds)
    assert [len(history) for history in restored.histories.values()] == [0, 0]
    assert all(restored.plan[step] is Round.FULL for step in (state.step, state.step + 1))
    assert restored.resumed == [f"step {state.step} (latents)"]
    latents = finish(engine, restored)
    assert [one.kind for one in restored.rounds] == list(restored.plan)
    difference = (latents - uninterrupted).norm() / uninterrupted.norm()
    assert difference < 0.5
    assert (difference == 0) == (num_segments == 0), "its plan begins with full rounds anyway"


def test_latents_are_small(engine, request_and_embeds, tmp_path):
    state = engine.start(*request_and_embeds)
    for _ in range(6):
        engine.run_segment(state)
    write_checkpoint(tmp_path / "all", freeze(state))
    write_checkpoint(tmp_path / "latents", freeze_latents(engine, state))
    assert (tmp_path / "latents").stat().st_size < (tmp_path / "all").stat().st_size / 5


@pytest.mark.parametrize("num_segments", [1, 2, 3, 4])
def test_calibrated_video_that_went_on_from_latents_goes_on_from_everything_as_well(
    engine, request_and_embeds, tmp_path, num_segments
):
    """Its weights were for a history that it has lost: what stands in for them does so for good."""
    request, embeds = request_and_embeds
    full_steps = tuple(range(0, NUM_STEPS, 3))
    made_for = CalibratedFor(model="", solver="", num_steps=NUM_STEPS, flow_shift=3.0, guidance_scale=5.0)
    of_step = [(0.0,) * (min(sum(one < step for one in full_steps), 3) - 1) + (1.0,) for step in range(1, NUM_STEPS)]
    calibrated = ForecastSettings(
        method="calibrated",
        plan_shape="calibrated",
        calibration=Calibration(made_for=made_for, full_steps=full_steps, weights=tuple(of_step)),
    )
    request = replace(request, forecast=calibrated)
    state = engine.start(request, embeds)
    for _ in range(3):
        engine.run_segment(state)
    write_checkpoint(tmp_path / "latents", freeze_latents(engine, state))
    going_on = thaw_latents(engine, read_checkpoint(tmp_path / "latents"), request, embeds)
    for _ in range(num_segments):
        engine.run_segment(going_on)
    write_checkpoint(tmp_path / "all", freeze(going_on))
    restored = thaw(engine, read_checkpoint(tmp_path / "all"), request)
    assert restored.forecast == going_on.forecast != request.forecast
    assert torch.equal(finish(engine, restored), finish(engine, going_on))
