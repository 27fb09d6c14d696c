"""The engine against the unwrapped WanPipeline: the same numbers, float32, one process, one thread."""

from itertools import pairwise

import pytest
import torch

from orchestrator.engine import Engine
from orchestrator.loading import load_scheduler, load_transformer
from orchestrator.render_state import Branch
from orchestrator.text import TextEncoder
from parallel.layout import Layout
from parallel.token_group import TokenGroup
from spectrum import (
    CalibratedFor,
    Calibration,
    Features,
    ForecastSettings,
    Method,
    PlanShape,
    Round,
    apply_spectrum,
    node_plan,
    remove_spectrum,
)
from spectrum.forecasters.svd import principal_forecast

CPU = torch.device("cpu")
ALL_FULL = ForecastSettings(method=Method.NONE)
FORECASTS = [
    ForecastSettings(),
    ForecastSettings(growth=3.0, blend=0.5),
    ForecastSettings(method=Method.TAYLOR, order=2),
    ForecastSettings(method=Method.REUSE, warmup_steps=1, window=3),
    ForecastSettings(method=Method.SVD, rank=8),
]


@pytest.fixture(scope="module")
def transformer(model_folder):
    return load_transformer(model_folder, device=CPU, dtype=torch.float32)


@pytest.fixture(scope="module")
def engine(transformer, model_folder):
    return Engine(
        transformer=transformer,
        scheduler=load_scheduler(model_folder),
        token_group=TokenGroup(layout=Layout(), rank=0),
        spatial_scale=8,
        temporal_scale=4,
    )


@pytest.fixture(scope="module")
def encode(pipe):
    return TextEncoder(pipe.tokenizer, pipe.text_encoder, max_sequence_length=24).encode


def denoise(engine, state):
    rounds = []
    while not state.is_denoised:
        rounds += engine.run_segment(state)
    return rounds


@pytest.fixture(scope="module")
def render(engine, encode):
    def run(request):
        state = engine.start(request, encode(request))
        denoise(engine, state)
        return engine.finish(state)

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "blue"},
        {"guidance_scale": 1.0},
        {"flow_shift": 5.0, "num_steps": 7},
        {"height": 96, "width": 112, "num_frames": 17, "seed": 2**63 - 1},
        {"num_frames": 1, "num_steps": 1},
    ],
    ids=str,
)
def test_all_rounds_full_give_the_stock_pipelines_latents_bit_for_bit(render, render_stock, make_request, changes):
    request = make_request(forecast=ALL_FULL, **changes)
    latents = render(request)
    assert latents.dtype == torch.float32
    assert torch.equal(latents, render_stock(request))


@pytest.fixture
def render_with_spectrum(pipe, render_stock):
    """The stock pipeline with `apply_spectrum`."""

    def run(request):
        apply_spectrum(pipe.transformer, request.forecast)
        try:
            return render_stock(request)
        finally:
            remove_spectrum(pipe.transformer)

    return run


@pytest.fixture(scope="module")
def without_forecasts(render, make_request):
    return render(make_request(forecast=ALL_FULL, num_steps=12))


@pytest.mark.parametrize("settings", FORECASTS, ids=lambda settings: settings.method.value)
def test_forecasts_give_the_latents_of_the_pipeline_with_spectrum_applied_bit_for_bit(
    render, render_with_spectrum, make_request, without_forecasts, settings
):
    request = make_request(forecast=settings, num_steps=12)
    latents = render(request)
    assert torch.equal(latents, render_with_spectrum(request))
    assert not torch.equal(latents, without_forecasts), "a forecast must change something"


class Velocities:
    """A solver that keeps the velocity of every step that it advances by."""

    def __init__(self, solver) -> None:
        self._solver = solver
        self.timestep = solver.timestep
        self.of_step = {}

    def advance(self, step, velocity, tokens):
        self.of_step[step] = velocity.clone()
        return self._solver.advance(step, velocity, tokens)


def test_svd_forecasts_the_newest_velocity_changed_in_its_leading_directions_alone(engine, encode, make_request):
    forecast = ForecastSettings(
        method=Method.SVD, features=Features.VELOCITY, rank=3, plan_shape=PlanShape.LIST, full_steps=(0, 1, 3, 6)
    )
    request = make_request(forecast=forecast)
    state = engine.start(request, encode(request))
    state.solver = solver = Velocities(state.solver)
    denoise(engine, state)
    for step, before, last in ((2, 0, 1), (4, 1, 3), (5, 1, 3), (7, 3, 6)):
        newest = solver.of_step[last]
        line = newest + (newest - solver.of_step[before]) * (step - last) / (last - before)
        expected = principal_forecast(line, newest, rank=3)
        torch.testing.assert_close(solver.of_step[step], expected, rtol=1e-4, atol=1e-5)
        for part in (line, newest):
            assert not torch.allclose(solver.of_step[step], part, rtol=0, atol=1e-3)


def test_rounds_follow_the_plan_segment_by_segment(engine, encode, make_request):
    request = make_request(num_steps=16)
    plan = request.forecast.plan(16)
    state = engine.start(request, encode(request))
    seen = []
    while not state.is_denoised:
        first = state.step
        rounds = engine.run_segment(state)
        assert rounds[0].kind is Round.FULL
        assert all(one.kind is Round.FORECAST for one in rounds[1:])
        assert [one.step for one in rounds] == list(range(first, plan.segment_end(first)))
        assert all(one.seconds >= 0 for one in rounds)
        seen += rounds
    assert tuple(one.kind for one in seen) == plan.rounds
    assert state.rounds == seen


def test_all_rounds_are_full_whatever_budget_there_is_for_forecasts(engine, encode, make_request):
    request = make_request(num_steps=4, forecast=ForecastSettings(method=Method.NONE, error_budget=0.4))
    state = engine.start(request, encode(request))
    assert [one.kind for one in denoise(engine, state)] == [Round.FULL] * 4


@pytest.mark.parametrize(("num_steps", "num_full"), [(8, 5), (50, 20)])
@pytest.mark.parametrize("method", [Method.CALIBRATED, Method.REUSE])
def test_full_rounds_that_close_a_video_have_an_error_only_where_the_one_before_is_kept(
    engine, encode, make_request, *, num_steps, num_full, method
):
    """Of the last rounds none is kept that no forecast needs: an older one's forecast is not theirs to answer for."""
    plan = node_plan(num_steps, num_full)
    earlier = [sum(one < step for one in plan.full_steps) for step in range(1, num_steps)]
    made_for = CalibratedFor(model="", solver="", num_steps=num_steps, flow_shift=3.0, guidance_scale=5.0)
    weights = tuple((0.0,) * (min(count, 4) - 1) + (1.0,) for count in earlier)  # those of reuse
    forecast = ForecastSettings(
        method=method,
        plan_shape=PlanShape.CALIBRATED,
        calibration=Calibration(made_for=made_for, full_steps=plan.full_steps, weights=weights),
        features=Features.VELOCITY,
    )
    request = make_request(num_steps=num_steps, forecast=forecast)
    state, velocities = engine.start(request, encode(request)), {}
    engine.observer = lambda _name, step, features: velocities.update({step: features.clone()})
    try:
        rounds = denoise(engine, state)
    finally:
        engine.observer = None
    kept = {after: before for before, after in pairwise(plan.full_steps) if plan.is_remembered(before)}
    assert len(kept) < num_full - 1
    for one in rounds:
        expected = None
        if one.step in kept:
            new, old = velocities[one.step].double(), velocities[kept[one.step]].double()
            expected = pytest.approx(float((new - old).norm() / new.norm()), rel=1e-4)
        assert one.forecast_error == expected


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_forecast_rounds_run_no_block(engine, transformer, encode, make_request, guidance_scale):
    request = make_request(num_steps=16, guidance_scale=guidance_scale)
    branches = 2 if request.is_guided else 1
    calls = []
    handles = [block.register_forward_hook(lambda *_arguments: calls.append(1)) for block in transformer.blocks]
    rounds = denoise(engine, engine.start(request, encode(request)))
    for handle in handles:
        handle.remove()
    num_full = sum(one.kind is Round.FULL for one in rounds)
    assert num_full < len(rounds) == 16
    assert len(calls) == num_full * branches * len(transformer.blocks)


def test_unguided_request_runs_one_branch_only(engine, encode, make_request):
    assert set(engine.start(make_request(), encode(make_request())).histories) == set(Branch)
    request = make_request(guidance_scale=1.0)
    assert set(engine.start(request, encode(request)).histories) == {Branch.COND}


def test_videos_that_take_turns_on_one_engine_do_not_mix(engine, render, encode, make_request):
    requests = [make_request(seed=1), make_request(seed=2, num_steps=14, forecast=ForecastSettings(growth=3))]
    alone = [render(request) for request in requests]
    states = [engine.start(request, encode(request)) for request in requests]
    while not all(state.is_denoised for state in states):
        for state in states:
            if not state.is_denoised:
                engine.run_segment(state)
    assert all(torch.equal(engine.finish(state), latents) for state, latents in zip(states, alone, strict=True))


def test_the_transformer_is_as_before(engine, transformer, render, make_request):
    """No hook of a round stays behind, which would pile up over a batch."""
    render(make_request())
    hooks = [len(module._forward_hooks) for module in transformer.modules()]
    render(make_request(seed=9))
    assert [len(module._forward_hooks) for module in transformer.modules()] == hooks


def test_failed_round_leaves_no_hook(engine, transformer, encode, make_request):
    state = engine.start(make_request(), encode(make_request()))
    hooks = len(transformer.blocks[-1]._forward_hooks)
    state.prompt_embeds[Branch.COND] = torch.zeros(1, 24, 7)
    with pytest.raises(RuntimeError):
        engine.run_segment(state)
    assert len(transformer.blocks[-1]._forward_hooks) == hooks


def test_bfloat16_latents_stay_float32_and_follow_the_pipeline(model_folder, pipe, encode, make_request):
    """The transformer computes in bfloat16, the solver in float32, as in WanPipeline: bit for bit as well."""
    from diffusers import WanPipeline

    half = load_transformer(model_folder, device=CPU, dtype=torch.bfloat16)
    engine = Engine(
        transformer=half,
        scheduler=load_scheduler(model_folder),
        token_group=TokenGroup(layout=Layout(), rank=0),
        spatial_scale=8,
        temporal_scale=4,
    )
    request = make_request(forecast=ALL_FULL)
    embeds = {branch: tensor.to(torch.bfloat16) for branch, tensor in encode(request).items()}
    state = engine.start(request, embeds)
    denoise(engine, state)
    stock = WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=load_scheduler(model_folder), transformer=half
    )
    stock.set_progress_bar_config(disable=True)
    expected = stock(
        prompt_embeds=embeds[Branch.COND],
        negative_prompt_embeds=embeds[Branch.UNCOND],
        height=request.height,
        width=request.width,
        num_frames=request.num_frames,
        num_inference_steps=request.num_steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    ).frames
    assert engine.finish(state).dtype == torch.float32
    assert torch.equal(engine.finish(state), expected)


def test_rounded_noise_is_the_same_video_but_for_rounding(render, engine, encode, make_request):
    """As a noise floor has to be: other than the plain one, and far nearer to it than another seed's."""
    plain, rounded, other = (
        make_request(forecast=ALL_FULL, **changes) for changes in ({}, {"rounded_noise": True}, {"seed": 4})
    )
    first = engine.start(rounded, encode(rounded)).tokens
    assert torch.equal(first, engine.start(plain, encode(plain)).tokens.bfloat16().float())
    apart = [float((render(one) - render(plain)).norm() / render(plain).norm()) for one in (rounded, other)]
    assert 0 < apart[0] < 0.05 * apart[1]
