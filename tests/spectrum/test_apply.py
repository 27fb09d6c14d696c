"""Spectrum on a small random Wan transformer: applied, driven step by step, removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import WanVACETransformer3DModel
from torch import nn

import spectrum
from spectrum import ForecastSettings, Round, Trunk, apply_spectrum, remove_spectrum
from spectrum.trunk import TrunkCall

NUM_BLOCKS = 3
SETTINGS = ForecastSettings(warmup_steps=2)  # 12 steps: 0, 1, 3, 5, 8 full
NUM_STEPS = 12


def inputs_at(step, *, dtype=torch.float32):
    """What a pipeline hands to the transformer at `step`, drawn anew for each step."""
    generator = torch.Generator().manual_seed(step)
    return {
        "hidden_states": torch.randn(1, 16, 2, 4, 4, generator=generator).to(dtype),
        "timestep": torch.tensor([999 - 70 * step]),
        "encoder_hidden_states": torch.randn(1, 6, 16, generator=generator).to(dtype),
    }


@torch.no_grad()
def denoise(transformer, steps, *, num_steps=NUM_STEPS, branch="cond", dtype=torch.float32, **overrides):
    """Output of each of `steps`, called as a pipeline calls it."""
    outputs = []
    for step in steps:
        with transformer.cache_context(branch, step_index=step, num_inference_steps=num_steps):
            inputs = {**inputs_at(step, dtype=dtype), **overrides}
            outputs.append(transformer(**inputs, return_dict=False)[0])
    return outputs


class CaptureInputs:
    """The arguments of every forward of a module."""

    def __init__(self, module: nn.Module) -> None:
        self.seen = []
        module.register_forward_pre_hook(lambda module, args: self.seen.append(args))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_full_rounds_are_bit_equal_to_the_unwrapped_transformer(make_transformer, dtype):
    transformer = make_transformer(dtype=dtype)
    apply_spectrum(transformer, SETTINGS)
    outputs = denoise(transformer, range(NUM_STEPS), dtype=dtype)
    untouched = make_transformer(dtype=dtype)
    for step in SETTINGS.plan(NUM_STEPS).full_steps:
        assert torch.equal(outputs[step], untouched(**inputs_at(step, dtype=dtype), return_dict=False)[0])
    assert {output.dtype for output in outputs} == {dtype}


def test_forecast_round_runs_no_block(make_transformer, count_forwards):
    transformer = make_transformer()
    trunk = apply_spectrum(transformer, SETTINGS)
    counts = count_forwards(trunk.blocks)
    for step, kind in enumerate(SETTINGS.plan(NUM_STEPS)):
        before = counts.total
        denoise(transformer, [step])
        assert counts.total - before == (NUM_BLOCKS if kind is Round.FULL else 0)


def test_the_output_head_gets_the_weighted_sum_of_past_block_outputs(make_transformer):
    transformer = make_transformer()
    apply_spectrum(transformer, SETTINGS)
    heads = CaptureInputs(transformer.norm_out)
    denoise(transformer, range(NUM_STEPS))
    hidden_states = [arguments[0] for arguments in heads.seen]
    full_steps = SETTINGS.plan(NUM_STEPS).full_steps
    for step in set(range(NUM_STEPS)) - set(full_steps):
        past = [full for full in full_steps if full < step]
        weights_K = spectrum.forecast_weights(past, step, num_steps=NUM_STEPS)
        features = torch.stack([hidden_states[full] for full in past]).double()
        expected = torch.einsum("k,kbsd->bsd", weights_K, features).float()
        torch.testing.assert_close(hidden_states[step], expected, rtol=1e-5, atol=1e-5)


def test_the_output_head_runs_with_the_steps_own_timestep_in_forecast_rounds(make_transformer):
    transformer = make_transformer()
    trunk = apply_spectrum(transformer, SETTINGS)
    outputs = []
    for timestep in (859, 300):
        denoise(transformer, range(2))
        outputs += denoise(transformer, [2], timestep=torch.tensor([timestep]))
        assert trunk.rounds("cond")[-1] is Round.FORECAST
    assert not torch.equal(*outputs)


def test_forecast_rounds_do_not_look_at_the_latents(make_transformer):
    transformer = make_transformer()
    apply_spectrum(transformer, SETTINGS)
    denoise(transformer, range(2))
    first = denoise(transformer, [2])
    denoise(transformer, range(2))
    second = denoise(transformer, [2], hidden_states=torch.zeros(1, 16, 2, 4, 4))
    assert torch.equal(first[0], second[0])


@torch.no_grad()
def test_a_forward_outside_a_cache_context_computes(make_transformer, count_forwards):
    transformer, untouched = make_transformer(), make_transformer()
    trunk = apply_spectrum(transformer, SETTINGS)
    denoise(transformer, range(2))
    counts = count_forwards(trunk.blocks)
    output = transformer(**inputs_at(2), return_dict=False)[0]
    assert torch.equal(output, untouched(**inputs_at(2), return_dict=False)[0])
    assert counts.total == NUM_BLOCKS
    denoise(transformer, [2])  # the video goes on undisturbed, with a forecast
    assert counts.total == NUM_BLOCKS


@pytest.mark.parametrize("said", [{}, {"step_index": 0}, {"num_inference_steps": 12}])
def test_a_context_that_does_not_say_where_the_pipeline_stands_is_refused(make_transformer, said):
    transformer = make_transformer()
    apply_spectrum(transformer, SETTINGS)
    with (
        pytest.raises(ValueError, match=r"cache_context\('cond'\).*step_index and num_inference_steps"),
        transformer.cache_context("cond", **said),
    ):
        transformer(**inputs_at(0))


@torch.no_grad()
def test_it_applies_to_a_transformer_that_was_used_before(make_transformer, count_forwards):
    """diffusers remembers which modules it hooks from the first cache_context on."""
    transformer = make_transformer()
    denoise(transformer, range(2))
    trunk = apply_spectrum(transformer, SETTINGS)
    counts = count_forwards(trunk.blocks)
    denoise(transformer, range(NUM_STEPS))
    assert counts.total == SETTINGS.plan(NUM_STEPS).num_full * NUM_BLOCKS


def test_apply_keeps_the_blocks_the_parameters_and_the_forward(make_transformer):
    transformer = make_transformer()
    blocks, forward = transformer.blocks, transformer.forward
    parameters = {id(parameter) for parameter in transformer.parameters()}
    trunk = apply_spectrum(transformer)
    assert isinstance(trunk, Trunk)
    assert trunk.blocks is blocks
    assert list(transformer.blocks) == [trunk]
    assert transformer.forward == forward
    assert {id(parameter) for parameter in transformer.parameters()} == parameters
    assert trunk.settings == ForecastSettings()


def test_removal_gives_the_transformer_its_own_blocks_back(make_transformer):
    transformer = make_transformer()
    blocks, before = transformer.blocks, transformer.state_dict()
    apply_spectrum(transformer)
    remove_spectrum(transformer)
    assert transformer.blocks is blocks
    after = transformer.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@torch.no_grad()
def test_after_removal_every_round_computes(make_transformer, count_forwards):
    transformer, untouched = make_transformer(), make_transformer()
    apply_spectrum(transformer, SETTINGS)
    denoise(transformer, range(3))
    remove_spectrum(transformer)
    counts = count_forwards(transformer.blocks)
    outputs = denoise(transformer, range(NUM_STEPS))
    assert counts.total == NUM_STEPS * NUM_BLOCKS
    assert all(torch.equal(a, b) for a, b in zip(outputs, denoise(untouched, range(NUM_STEPS)), strict=True))


@torch.no_grad()
def test_after_removal_diffusers_no_longer_drives_the_trunk(make_transformer):
    transformer = make_transformer()
    seen = CaptureInputs(transformer.blocks[0])
    trunk = apply_spectrum(transformer, SETTINGS)
    denoise(transformer, [0])
    remove_spectrum(transformer)
    for step in range(NUM_STEPS):
        trunk.call = TrunkCall(branch="own", step=step, num_steps=NUM_STEPS)
        trunk(*seen.seen[0])
    assert trunk.rounds("own") == tuple(SETTINGS.plan(NUM_STEPS))


def test_it_can_be_applied_again_with_other_settings(make_transformer, count_forwards):
    transformer = make_transformer()
    counts = count_forwards(transformer.blocks)
    apply_spectrum(transformer, SETTINGS)
    remove_spectrum(transformer)
    wide = ForecastSettings(warmup_steps=1, window=6.0)
    apply_spectrum(transformer, wide)
    denoise(transformer, range(NUM_STEPS))
    assert counts.total == wide.plan(NUM_STEPS).num_full * NUM_BLOCKS == 2 * NUM_BLOCKS


def test_applying_twice_is_refused(make_transformer):
    transformer = make_transformer()
    trunk = apply_spectrum(transformer)
    with pytest.raises(ValueError, match="WanTransformer3DModel has Spectrum applied already"):
        apply_spectrum(transformer)
    assert list(transformer.blocks) == [trunk]


def test_removing_what_was_not_applied_is_refused(make_transformer):
    with pytest.raises(ValueError, match="WanTransformer3DModel does not have Spectrum applied"):
        remove_spectrum(make_transformer())


@pytest.mark.parametrize("change", [apply_spectrum, remove_spectrum])
def test_a_model_without_a_list_of_blocks_is_refused(change):
    with pytest.raises(ValueError, match="Linear has no list of modules named `blocks`"):
        change(nn.Linear(2, 2))
    empty = nn.Module()
    empty.blocks = nn.ModuleList()
    with pytest.raises(ValueError, match="Module has no list of modules named `blocks`"):
        change(empty)


def test_importing_spectrum_loads_nothing_beyond_torch_and_the_standard_library():
    script = """
import sys, torch
before = set(sys.modules)
import spectrum
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
assert "diffusers" not in sys.modules and "transformers" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(spectrum.__file__).parents[1])}
    loaded = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "spectrum" in loaded
    assert set(loaded) - {"spectrum", "torch"} <= sys.stdlib_module_names


class OneList(nn.Module):
    """A model of a kind that Spectrum does not know."""

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        setattr(self, name, nn.ModuleList([block]))


class Pair(nn.Module):
    def forward(self, hidden_states):
        return hidden_states, hidden_states


@pytest.mark.parametrize("name", ["blocks", "transformer_blocks"])
def test_an_unknown_model_with_one_list_of_blocks_fits(name):
    block = nn.Linear(2, 2)
    model = OneList(name, block)
    trunk = apply_spectrum(model)
    assert list(getattr(model, name)) == [trunk]
    assert list(trunk.blocks) == [block]
    remove_spectrum(model)
    assert list(getattr(model, name)) == [block]


def test_an_unknown_model_whose_blocks_return_more_than_one_hidden_state_is_refused():
    model = OneList("blocks", Pair())
    apply_spectrum(model)
    with pytest.raises(ValueError, match="Pair returns a tuple: Spectrum can stand in for blocks that return one"):
        model.blocks[0](torch.zeros(1, 2, 2))


def test_a_model_that_adds_other_blocks_output_between_its_own_is_refused():
    """Wan VACE adds the output of `vace_blocks` after some of `blocks`."""
    transformer = WanVACETransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=16,
        freq_dim=32,
        ffn_dim=16,
        num_layers=2,
        vace_layers=[0],
    )
    with pytest.raises(ValueError, match="has the lists of modules blocks, vace_blocks"):
        apply_spectrum(transformer)
