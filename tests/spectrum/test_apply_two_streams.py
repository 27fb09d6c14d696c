"""Spectrum on small random Flux and HunyuanVideo transformers: two lists of blocks, an image and a text stream."""

import pytest
import torch
from two_stream_models import Flux, Hunyuan, render

import spectrum
from spectrum import ForecastSettings, Method, Round, apply_spectrum, remove_spectrum

SETTINGS = ForecastSettings(warmup_steps=2)  # 12 steps: 0, 1, 3, 5, 8 full
NUM_STEPS = 12
PLAN = SETTINGS.plan(NUM_STEPS)
LISTS = ("transformer_blocks", "single_transformer_blocks")
both = pytest.mark.parametrize("model", [Flux, Hunyuan], ids=lambda model: model.__name__)
MAKES = [
    (Flux, {}),
    (Flux, {"num_dual": 0}),
    (Flux, {"num_single": 0}),
    (Hunyuan, {}),
    (Hunyuan, {"num_dual": 0}),
    (Hunyuan, {"num_single": 0}),
    (Hunyuan, {"image_condition_type": "token_replace"}),
]


@torch.no_grad()
def denoise(model, transformer, steps=range(NUM_STEPS)):
    outputs = []
    for step in steps:
        with transformer.cache_context("cond", step_index=step, num_inference_steps=NUM_STEPS):
            outputs.append(transformer(**model.inputs(step), return_dict=False)[0])
    return outputs


def blocks_of(transformer):
    return [block for name in LISTS for block in getattr(transformer, name)]


@pytest.mark.parametrize(("model", "options"), MAKES, ids=str)
def test_full_rounds_are_bit_equal_and_forecast_rounds_run_no_block(model, options, count_forwards):
    transformer, untouched = model.transformer(**options), model.transformer(**options)
    blocks = blocks_of(transformer)
    counts = [count_forwards([block]) for block in blocks]
    apply_spectrum(transformer, SETTINGS)
    expected = denoise(model, untouched)
    for step, kind in enumerate(PLAN):
        before = [count.total for count in counts]
        [output] = denoise(model, transformer, [step])
        ran = [count.total - earlier for count, earlier in zip(counts, before, strict=True)]
        assert ran == [1 if kind is Round.FULL else 0] * len(blocks)
        assert torch.equal(output, expected[step]) is (kind is Round.FULL)
        assert output.isfinite().all()


@both
def test_the_output_head_gets_the_weighted_sum_of_past_image_streams(model):
    transformer, untouched = model.transformer(), model.transformer()
    heads, plain = [], []
    transformer.norm_out.register_forward_pre_hook(lambda _, args: heads.append(args[0]))
    untouched.norm_out.register_forward_pre_hook(lambda _, args: plain.append(args[0]))
    apply_spectrum(transformer, SETTINGS)
    denoise(model, transformer)
    denoise(model, untouched)
    for step in range(NUM_STEPS):
        if PLAN[step] is Round.FORECAST:
            past = [full for full in PLAN.full_steps if full < step]
            weights_K = spectrum.forecast_weights(past, step, num_steps=NUM_STEPS)
            features = torch.stack([plain[full] for full in past]).double()
            expected = torch.einsum("k,kbsd->bsd", weights_K, features).float()
            torch.testing.assert_close(heads[step], expected, rtol=1e-5, atol=1e-5)


@both
@pytest.mark.parametrize("with_negative", [False, True])
def test_pipeline_with_method_none_is_bit_equal_to_the_untouched_pipeline(model, with_negative):
    pipe = model.pipe(model.transformer())
    apply_spectrum(pipe.transformer, ForecastSettings(method=Method.NONE), pipeline=pipe)
    expected = render(model, model.pipe(model.transformer()), NUM_STEPS, with_negative=with_negative)
    assert torch.equal(render(model, pipe, NUM_STEPS, with_negative=with_negative), expected)


@both
@pytest.mark.parametrize("with_negative", [False, True])
@pytest.mark.parametrize("num_steps", [1, 12, 20])
def test_pipeline_runs_the_blocks_in_the_plans_full_rounds_of_each_branch_only(
    model, with_negative, num_steps, count_forwards
):
    pipe = model.pipe(model.transformer())
    counts = [count_forwards([block]) for block in blocks_of(pipe.transformer)]
    trunk = apply_spectrum(pipe.transformer, SETTINGS, pipeline=pipe)
    assert render(model, pipe, num_steps, with_negative=with_negative).isfinite().all()
    plan = SETTINGS.plan(num_steps)
    assert {count.total for count in counts} == {plan.num_full * (2 if with_negative else 1)}
    assert trunk.rounds("cond") == tuple(plan)
    assert trunk.rounds("uncond") == (tuple(plan) if with_negative else ())


@both
@pytest.mark.parametrize("broken_off_at", [0, 3, 6])
def test_a_video_after_one_that_was_broken_off_equals_a_fresh_pipelines(model, broken_off_at):
    pipe, fresh = model.pipe(model.transformer()), model.pipe(model.transformer())
    for each in (pipe, fresh):
        apply_spectrum(each.transformer, SETTINGS, pipeline=each)

    def break_off(pipe, step, timestep, tensors):
        if step == broken_off_at:
            raise KeyboardInterrupt
        return tensors

    with pytest.raises(KeyboardInterrupt):
        render(model, pipe, 20, seed=1, size=96, with_negative=True, on_step_end=break_off)
    first = render(model, pipe, NUM_STEPS, seed=2)
    assert torch.equal(first, render(model, fresh, NUM_STEPS, seed=2))
    assert torch.equal(first, render(model, pipe, NUM_STEPS, seed=2))


@both
def test_a_block_that_fails_in_mid_video_leaves_nothing_behind(model):
    pipe, fresh = model.pipe(model.transformer()), model.pipe(model.transformer())
    for each in (pipe, fresh):
        apply_spectrum(each.transformer, SETTINGS, pipeline=each)
    calls = []

    def fail(module, args):
        calls.append(module)
        if len(calls) == 3:
            raise RuntimeError("lost")

    handle = pipe.transformer.transformer_blocks[0].blocks[-1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="lost"):
        render(model, pipe, NUM_STEPS, seed=1)
    handle.remove()
    assert torch.equal(render(model, pipe, NUM_STEPS, seed=2), render(model, fresh, NUM_STEPS, seed=2))


@both
def test_removal_gives_the_transformer_its_own_lists_back(model):
    transformer = model.transformer()
    before = {name: getattr(transformer, name) for name in LISTS}
    names, plain = list(transformer.state_dict()), denoise(model, transformer)
    parameters = {id(parameter) for parameter in transformer.parameters()}
    apply_spectrum(transformer, SETTINGS)
    assert {id(parameter) for parameter in transformer.parameters()} == parameters
    assert len(transformer.state_dict()) == len(names)
    denoise(model, transformer)
    remove_spectrum(transformer)
    assert all(getattr(transformer, name) is blocks for name, blocks in before.items())
    assert list(transformer.state_dict()) == names
    assert not transformer._forward_pre_hooks
    assert all(torch.equal(a, b) for a, b in zip(denoise(model, transformer), plain, strict=True))


@both
def test_applying_twice_is_refused(model):
    transformer = model.transformer()
    apply_spectrum(transformer)
    with pytest.raises(ValueError, match="has Spectrum applied already"):
        apply_spectrum(transformer)


@both
def test_a_pipeline_that_does_not_say_its_step_needs_to_be_known(model):
    pipe = model.pipe(model.transformer())
    apply_spectrum(pipe.transformer, SETTINGS)
    with pytest.raises(ValueError, match=r"apply_spectrum\(pipe.transformer, pipeline=pipe\)"):
        render(model, pipe, NUM_STEPS)


def test_another_pipeline_than_the_one_that_runs_is_refused():
    pipe, other = Flux.pipe(Flux.transformer()), Flux.pipe(None)
    apply_spectrum(pipe.transformer, SETTINGS, pipeline=other)
    with pytest.raises(ValueError, match=r"`pipeline` must\s+be the one that runs the transformer"):
        render(Flux, pipe, NUM_STEPS)


@torch.no_grad()
def test_a_controlnet_is_refused_as_it_adds_between_the_blocks():
    transformer = Flux.transformer()
    apply_spectrum(transformer, SETTINGS)
    samples = [torch.ones(1, 16, 16)]
    with pytest.raises(ValueError, match="FluxTransformer2DModel was given controlnet_block_samples"):
        transformer(**Flux.inputs(0), controlnet_block_samples=samples)
    remove_spectrum(transformer)
    transformer(**Flux.inputs(0), controlnet_block_samples=samples)


def test_a_model_without_any_block_is_refused():
    with pytest.raises(ValueError, match="FluxTransformer2DModel has no blocks in transformer_blocks or single_"):
        apply_spectrum(Flux.transformer(num_dual=0, num_single=0))


def test_a_model_of_several_lists_that_is_not_known_is_refused():
    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer_blocks = torch.nn.ModuleList([torch.nn.Identity()])
            self.single_transformer_blocks = torch.nn.ModuleList([torch.nn.Identity()])

    with pytest.raises(
        ValueError, match="Other has the lists of modules transformer_blocks, single_transformer_blocks"
    ):
        apply_spectrum(Other())
