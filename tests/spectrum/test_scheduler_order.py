"""Schedulers that evaluate the transformer twice a step: each evaluation is a round of its own."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

from spectrum import ForecastSettings, Method, apply_spectrum

SETTINGS = ForecastSettings(warmup_steps=2)
NUM_BLOCKS = 3
HEUN = FlowMatchHeunDiscreteScheduler(shift=3.0)
TEXT = torch.linspace(-1, 1, 96).reshape(1, 6, 16)


@pytest.mark.parametrize("num_steps", [2, 7, 20])
def test_heun_in_a_pipeline_has_a_round_for_each_evaluation(make_pipe, render, count_forwards, num_steps):
    pipe = make_pipe(scheduler=HEUN)
    trunk = apply_spectrum(pipe.transformer, SETTINGS)
    counts = count_forwards(trunk.blocks)
    assert render(pipe, num_steps).isfinite().all()
    plan = SETTINGS.plan(2 * num_steps - 1)
    assert trunk.rounds("cond") == trunk.rounds("uncond") == tuple(plan)
    assert counts.total == plan.num_full * 2 * NUM_BLOCKS


def test_heun_with_all_rounds_full_is_bit_equal_to_the_untouched_pipeline(make_pipe, render):
    pipe = make_pipe(scheduler=HEUN)
    expected = render(pipe, 6)
    apply_spectrum(pipe.transformer, ForecastSettings(method=Method.NONE))
    assert torch.equal(render(pipe, 6), expected)


def test_a_heun_video_after_one_that_was_broken_off_between_two_evaluations_equals_a_fresh_pipelines(
    make_pipe, render
):
    pipe, fresh = make_pipe(scheduler=HEUN), make_pipe(scheduler=FlowMatchHeunDiscreteScheduler(shift=3.0))
    for each in (pipe, fresh):
        apply_spectrum(each.transformer, SETTINGS)

    def break_off(pipe, step, timestep, tensors):
        if step == 5:
            raise KeyboardInterrupt
        return tensors

    with pytest.raises(KeyboardInterrupt):
        render(pipe, 9, seed=1, on_step_end=break_off)
    assert torch.equal(render(pipe, 7, seed=2), render(fresh, 7, seed=2))


@torch.no_grad()
def denoise(transformer, scheduler, num_steps, *, begin=0, num_evaluations=None):
    """The loop of a pipeline that does not say its step in its cache_context."""
    scheduler.set_timesteps(num_steps)
    scheduler.set_begin_index(begin)
    latents = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for timestep in scheduler.timesteps[begin:][:num_evaluations]:
        for branch in ("cond", "uncond"):
            with transformer.cache_context(branch):
                velocity = transformer(latents, timestep.expand(1), TEXT, return_dict=False)[0]
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("scheduler", [HEUN, FlowMatchEulerDiscreteScheduler()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("begin", [0, 3])
def test_the_scheduler_says_the_step_where_the_pipeline_does_not(make_transformer, scheduler, begin):
    transformer, fresh = make_transformer(), make_transformer()
    for each in (transformer, fresh):
        trunk = apply_spectrum(each, SETTINGS, pipeline=SimpleNamespace(scheduler=scheduler))
    denoise(transformer, scheduler, 9, num_evaluations=4)  # broken off
    again = denoise(transformer, scheduler, 6, begin=begin)
    assert torch.equal(again, denoise(fresh, scheduler, 6, begin=begin))
    plan = SETTINGS.plan(6 * scheduler.order - (scheduler.order - 1) - begin)
    assert trunk.rounds("cond") == trunk.rounds("uncond") == tuple(plan)


def test_a_scheduler_that_is_replaced_later_is_the_one_asked(make_transformer):
    transformer = make_transformer()
    pipeline = SimpleNamespace(scheduler=FlowMatchEulerDiscreteScheduler())
    trunk = apply_spectrum(transformer, SETTINGS, pipeline=pipeline)
    pipeline.scheduler = HEUN
    denoise(transformer, pipeline.scheduler, 6)
    assert trunk.rounds("cond") == tuple(SETTINGS.plan(11))
