"""Spectrum on a small Wan pipeline: whole videos."""

import gc

import pytest
import torch

from spectrum import ForecastSettings, History, Method, apply_spectrum, remove_spectrum

NUM_BLOCKS = 3
SETTINGS = ForecastSettings(warmup_steps=2)  # 12 steps: 0, 1, 3, 5, 8 full
NUM_STEPS = 12


def histories():
    return [item for item in gc.get_objects() if type(item) is History]


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_pipeline_with_method_none_is_bit_equal_to_the_untouched_pipeline(make_pipe, render, guidance_scale):
    pipe = make_pipe()
    apply_spectrum(pipe.transformer, ForecastSettings(method=Method.NONE))
    expected = render(make_pipe(), NUM_STEPS, guidance_scale=guidance_scale)
    assert torch.equal(render(pipe, NUM_STEPS, guidance_scale=guidance_scale), expected)


@pytest.mark.parametrize("num_steps", [1, 4, 20, 37, 50])
def test_pipeline_runs_the_blocks_in_the_plans_full_rounds_of_both_branches_only(
    make_pipe, render, count_forwards, num_steps
):
    pipe = make_pipe()
    trunk = apply_spectrum(pipe.transformer)
    counts = count_forwards(trunk.blocks)
    rounds = {}

    def note_rounds(pipe, step, timestep, tensors):
        rounds.update({branch: trunk.rounds(branch) for branch in ("cond", "uncond")})
        return tensors

    latents = render(pipe, num_steps, on_step_end=note_rounds)
    plan = ForecastSettings().plan(num_steps)
    assert counts.total == plan.num_full * 2 * NUM_BLOCKS
    assert rounds == {"cond": tuple(plan), "uncond": tuple(plan)}
    assert latents.isfinite().all()


@pytest.mark.parametrize("num_steps", [NUM_STEPS, 20])
def test_nothing_is_left_of_the_histories_when_the_pipeline_comes_to_decode(make_pipe, render, num_steps):
    pipe, alive = make_pipe(), []
    trunk = apply_spectrum(pipe.transformer, SETTINGS)

    def note_bytes(pipe, step, timestep, tensors):
        alive.append(sum(state.history.num_bytes for state in trunk._branches.values()))
        return tensors

    render(pipe, num_steps, on_step_end=note_bytes)
    assert min(alive[:-1]) > 0 and alive[-1] == 0


def test_pipeline_without_guidance_has_one_branch(make_pipe, render, count_forwards):
    pipe = make_pipe()
    trunk = apply_spectrum(pipe.transformer, SETTINGS)
    counts = count_forwards(trunk.blocks)
    branches = set()

    def note_branches(pipe, step, timestep, tensors):
        branches.update(branch for branch in ("cond", "uncond") if trunk.rounds(branch))
        return tensors

    render(pipe, NUM_STEPS, guidance_scale=1.0, on_step_end=note_branches)
    assert counts.total == SETTINGS.plan(NUM_STEPS).num_full * NUM_BLOCKS
    assert branches == {"cond"}


def test_latents_are_the_untouched_pipelines_until_the_first_forecast(make_pipe, render):
    runs = []
    for with_spectrum in (False, True):
        pipe, latents = make_pipe(), []
        if with_spectrum:
            apply_spectrum(pipe.transformer, SETTINGS)

        def keep(pipe, step, timestep, tensors, latents=latents):
            latents.append(tensors["latents"].clone())
            return tensors

        render(pipe, NUM_STEPS, on_step_end=keep)
        runs.append(latents)
    same = [torch.equal(a, b) for a, b in zip(*runs, strict=True)]
    assert same == [True, True] + [False] * (NUM_STEPS - 2)


def test_after_removal_the_pipeline_is_bit_equal_to_before(make_pipe, render):
    pipe = make_pipe()
    before = render(pipe, NUM_STEPS)
    apply_spectrum(pipe.transformer, SETTINGS)
    forecast = render(pipe, NUM_STEPS)
    remove_spectrum(pipe.transformer)
    assert torch.equal(render(pipe, NUM_STEPS), before)
    assert not torch.equal(forecast, before)


def test_a_second_video_on_one_pipeline_equals_a_fresh_pipelines(make_pipe, render):
    pipe, fresh = make_pipe(), make_pipe()
    for each in (pipe, fresh):
        apply_spectrum(each.transformer, SETTINGS)
    render(pipe, 20, seed=1)
    assert torch.equal(render(pipe, NUM_STEPS, seed=2), render(fresh, NUM_STEPS, seed=2))


@pytest.mark.parametrize("broken_off_at", [0, 3, 6])
def test_a_video_after_one_that_was_broken_off_equals_a_fresh_pipelines(make_pipe, render, broken_off_at):
    pipe, fresh = make_pipe(), make_pipe()
    for each in (pipe, fresh):
        apply_spectrum(each.transformer, SETTINGS)

    def break_off(pipe, step, timestep, tensors):
        if step == broken_off_at:
            raise KeyboardInterrupt
        return tensors

    with pytest.raises(KeyboardInterrupt):
        render(pipe, NUM_STEPS, seed=1, width=48, on_step_end=break_off)
    assert torch.equal(render(pipe, NUM_STEPS, seed=2), render(fresh, NUM_STEPS, seed=2))


def test_no_history_is_held_after_a_video(make_pipe, render):
    pipe = make_pipe()
    apply_spectrum(pipe.transformer, SETTINGS)
    held = []

    def count_histories(pipe, step, timestep, tensors):
        held.append(len(histories()))
        return tensors

    gc.collect()
    others = len(histories())
    render(pipe, 4, on_step_end=count_histories)
    gc.collect()
    assert held == [others + 2] * 4
    assert len(histories()) == others


def test_method_none_keeps_no_features(make_pipe, render):
    pipe = make_pipe()
    apply_spectrum(pipe.transformer, ForecastSettings(method=Method.NONE))
    num_bytes = []

    def add_up(pipe, step, timestep, tensors):
        num_bytes.append(sum(history.num_bytes for history in histories()))
        return tensors

    gc.collect()
    others = sum(history.num_bytes for history in histories())
    render(pipe, 4, on_step_end=add_up)
    assert num_bytes == [others] * 4


def test_the_trunk_knows_the_rounds_of_the_video_that_was_rendered(make_pipe, render):
    pipe = make_pipe()
    trunk = apply_spectrum(pipe.transformer, SETTINGS)
    render(pipe, NUM_STEPS)
    assert trunk.rounds("cond") == tuple(SETTINGS.plan(NUM_STEPS))


def test_an_expert_switch_in_mid_video_is_refused(make_pipe, make_transformer, render):
    """Wan2.2 hands the later steps to a second transformer, which would have no history."""
    pipe = make_pipe(transformer_2=make_transformer(seed=1), boundary_ratio=0.8)
    apply_spectrum(pipe.transformer_2, SETTINGS)
    with pytest.raises(ValueError, match="needs every step of a video"):
        render(pipe, NUM_STEPS)
