"""The trunk alone, on blocks of two lines: which rounds run, and what the others return."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spectrum import ForecastSettings, Method, Round, Trunk, plan_rounds
from spectrum.forecasters.svd import principal_forecast
from spectrum.trunk import TrunkCall

SETTINGS = ForecastSettings(warmup_steps=2)  # 12 steps: 0, 1, 3, 5, 8 full


class Block(nn.Module):
    """A block as a transformer calls it: hidden states first, then what all blocks share."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)

    def forward(self, hidden_states, shift):
        return hidden_states + torch.tanh(self.linear(hidden_states) + shift)


def make_trunk(settings=SETTINGS) -> Trunk:
    return Trunk([Block(0), Block(1)], settings)


def hidden_at(step, *, seed=0):
    generator = torch.Generator().manual_seed(1000 * seed + step)
    return torch.randn(2, 5, 6, generator=generator)


def run_blocks(trunk, hidden_states, shift):
    for block in trunk.blocks:
        hidden_states = block(hidden_states, shift)
    return hidden_states


@torch.no_grad()
def drive(trunk, steps, *, num_steps=12, branch="cond", seed=0):
    outputs = []
    for step in steps:
        trunk.call = TrunkCall(branch=branch, step=step, num_steps=num_steps)
        outputs.append(trunk(hidden_at(step, seed=seed), 0.1 * step))
    return outputs


@torch.no_grad()
def test_full_rounds_are_the_blocks_output_bit_for_bit():
    trunk = make_trunk()
    outputs = drive(trunk, range(12))
    for step in SETTINGS.plan(12).full_steps:
        assert torch.equal(outputs[step], run_blocks(trunk, hidden_at(step), 0.1 * step))


@torch.no_grad()
@pytest.mark.parametrize(
    "settings_", [SETTINGS, ForecastSettings(method=Method.TAYLOR, warmup_steps=2), ForecastSettings(blend=0.5)]
)
def test_forecast_rounds_are_the_weighted_sum_of_the_full_rounds_before(settings_):
    trunk = make_trunk(settings_)
    outputs = drive(trunk, range(12))
    full_steps = settings_.plan(12).full_steps
    for step in set(range(12)) - set(full_steps):
        past = [earlier for earlier in full_steps if earlier < step]
        weights_K = settings_.weights(past, step, num_steps=12)
        features = torch.stack([outputs[earlier] for earlier in past]).double()
        expected = torch.einsum("k,kbsd->bsd", weights_K, features).float()
        torch.testing.assert_close(outputs[step], expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_svd_forecasts_the_newest_features_changed_in_their_leading_directions_alone():
    settings_ = ForecastSettings(method=Method.SVD, warmup_steps=2, rank=2)
    outputs = drive(make_trunk(settings_), range(12))
    full_steps = settings_.plan(12).full_steps
    for step in set(range(12)) - set(full_steps):
        before, last = [earlier for earlier in full_steps if earlier < step][-2:]
        newest = outputs[last]
        line = newest + (newest - outputs[before]) * (step - last) / (last - before)
        torch.testing.assert_close(outputs[step], principal_forecast(line, newest, rank=2), rtol=1e-5, atol=1e-5)
        for part in (line, newest):
            assert not torch.allclose(outputs[step], part, atol=1e-2)


def test_forecast_round_runs_no_block(count_forwards):
    trunk = make_trunk()
    counts = count_forwards(trunk.blocks)
    drive(trunk, [0, 1])
    assert counts.total == 4
    drive(trunk, [2])
    assert counts.total == 4
    drive(trunk, [3])
    assert counts.total == 6


@given(num_steps=st.integers(1, 40), warmup_steps=st.integers(1, 6), window=st.floats(1, 6), growth=st.floats(0, 3))
@settings(deadline=None, max_examples=40)
def test_rounds_follow_the_plan_of_the_videos_step_count(num_steps, warmup_steps, window, growth):
    trunk = make_trunk(ForecastSettings(warmup_steps=warmup_steps, window=window, growth=growth))
    drive(trunk, range(num_steps), num_steps=num_steps)
    plan = plan_rounds(num_steps, warmup_steps=warmup_steps, window=window, growth=growth)
    assert trunk.rounds("cond") == tuple(plan)


@torch.no_grad()
def test_method_none_runs_the_blocks_in_every_round():
    trunk = make_trunk(ForecastSettings(method=Method.NONE))
    for step, output in enumerate(drive(trunk, range(12))):
        assert torch.equal(output, run_blocks(trunk, hidden_at(step), 0.1 * step))


def test_reuse_repeats_the_last_full_round_bit_for_bit():
    settings_ = ForecastSettings(method=Method.REUSE, warmup_steps=2)
    outputs = drive(make_trunk(settings_), range(12))
    for step in range(12):
        newest = max(full for full in settings_.plan(12).full_steps if full <= step)
        assert torch.equal(outputs[step], outputs[newest])


def test_branches_have_histories_of_their_own():
    together = make_trunk()
    mixed = {"cond": [], "uncond": []}
    for step in range(12):
        for seed, branch in enumerate(mixed):
            mixed[branch] += drive(together, [step], branch=branch, seed=seed)
    for seed, branch in enumerate(mixed):
        alone = drive(make_trunk(), range(12), branch=branch, seed=seed)
        assert all(torch.equal(a, b) for a, b in zip(mixed[branch], alone, strict=True))
    assert not torch.equal(mixed["cond"][11], mixed["uncond"][11])
    assert together.rounds("cond") == together.rounds("uncond") == tuple(SETTINGS.plan(12))


@torch.no_grad()
def test_without_a_call_the_blocks_run_and_nothing_is_kept():
    trunk = make_trunk()
    drive(trunk, [0, 1])
    trunk.call = None
    assert torch.equal(trunk(hidden_at(7), 0.3), run_blocks(trunk, hidden_at(7), 0.3))
    assert trunk.rounds("cond") == tuple(SETTINGS.plan(12))[:2]


@torch.no_grad()
def test_hidden_states_may_be_given_by_name():
    trunk = make_trunk()
    assert torch.equal(trunk(hidden_states=hidden_at(0), shift=0.3), trunk(hidden_at(0), 0.3))


@pytest.mark.parametrize("broken_off_after", [1, 3, 12])
def test_step_zero_begins_a_new_video(broken_off_after):
    used = make_trunk()
    drive(used, range(broken_off_after), seed=1)
    again = drive(used, range(20), num_steps=20)
    fresh = drive(make_trunk(), range(20), num_steps=20)
    assert all(torch.equal(a, b) for a, b in zip(again, fresh, strict=True))


@torch.no_grad()
def test_a_new_video_may_have_another_shape():
    trunk = make_trunk()
    drive(trunk, range(4))
    trunk.call = TrunkCall(branch="cond", step=0, num_steps=12)
    assert trunk(torch.zeros(1, 9, 6), 0.0).shape == (1, 9, 6)


def test_a_video_goes_on_where_a_block_failed_only_from_step_zero():
    trunk = make_trunk()
    drive(trunk, range(3))

    def fail(module, args):
        raise RuntimeError("lost")

    handle = trunk.blocks[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="lost"):
        drive(trunk, [3])
    handle.remove()
    with pytest.raises(ValueError, match="was called for step 3 of 12"):
        drive(trunk, [3])
    again = drive(trunk, range(12))
    assert all(torch.equal(a, b) for a, b in zip(again, drive(make_trunk(), range(12)), strict=True))


@pytest.mark.parametrize("steps", [[0, 2], [0, 1, 1], [0, 1, 2, 5]])
def test_a_step_out_of_order_is_refused(steps):
    trunk = make_trunk()
    drive(trunk, steps[:-1])
    expected = f"branch 'cond' is at step {len(steps) - 1} of 12 but was called for step {steps[-1]} of 12"
    with pytest.raises(ValueError, match=expected):
        drive(trunk, steps[-1:])


def test_a_video_cannot_begin_in_its_middle():
    with pytest.raises(ValueError, match="at step 0 of 12 but was called for step 4 of 12"):
        drive(make_trunk(), [4])


def test_a_video_cannot_change_its_number_of_steps():
    trunk = make_trunk()
    drive(trunk, [0, 1])
    with pytest.raises(ValueError, match="at step 2 of 12 but was called for step 2 of 20"):
        drive(trunk, [2], num_steps=20)


def test_a_step_beyond_the_last_is_refused():
    trunk = make_trunk()
    drive(trunk, range(12))
    with pytest.raises(ValueError, match="called for step 12 of 12"):
        drive(trunk, [12])


@pytest.mark.parametrize(
    "settings_",
    [
        SETTINGS,  # ends with forecasts
        ForecastSettings(plan_shape="nodes", num_full=6),  # with full rounds
        ForecastSettings(method=Method.SVD, warmup_steps=2, rank=2),
        ForecastSettings(method=Method.NONE),
    ],
    ids=lambda settings_: f"{settings_.method} {settings_.plan_shape}",
)
@pytest.mark.parametrize("num_steps", [6, 12, 31])
def test_histories_hold_memory_until_the_last_forecast_and_no_longer(settings_, num_steps):
    trunk, plan = make_trunk(settings_), settings_.plan(num_steps)
    for step in range(len(plan)):
        for branch in ("cond", "uncond"):
            drive(trunk, [step], num_steps=len(plan), branch=branch)
            assert (trunk._branches[branch].history.num_bytes > 0) == (Round.FORECAST in plan[step + 1 :])
    assert trunk.rounds("cond") == tuple(plan)
    again = drive(trunk, range(len(plan)), num_steps=len(plan))
    fresh = drive(make_trunk(settings_), range(len(plan)), num_steps=len(plan))
    assert all(torch.equal(a, b) for a, b in zip(again, fresh, strict=True))


def test_reset_forgets_every_branch():
    trunk = make_trunk()
    drive(trunk, range(3))
    drive(trunk, range(3), branch="uncond")
    trunk.reset()
    assert trunk.call is None
    for branch in ("cond", "uncond"):
        with pytest.raises(ValueError, match="at step 0"):
            drive(trunk, [3], branch=branch)


def test_a_branch_that_never_ran_has_no_rounds():
    assert make_trunk().rounds("cond") == ()


def test_the_trunk_holds_the_blocks_themselves():
    blocks = nn.ModuleList([Block(0), Block(1)])
    trunk = Trunk(blocks, SETTINGS)
    assert trunk.blocks is blocks
    assert {id(parameter) for parameter in trunk.parameters()} == {id(parameter) for parameter in blocks.parameters()}


def test_a_video_that_begins_anew_forgets_the_other_branches_too():
    """Else the branch of a broken-off video that the next one does not have would keep its history."""
    trunk = make_trunk()
    for branch in ("cond", "uncond"):
        drive(trunk, range(3), branch=branch)
    drive(trunk, range(2))
    assert trunk.rounds("uncond") == ()
    with pytest.raises(ValueError, match="'uncond' is at step 0"):
        drive(trunk, [3], branch="uncond")


class TwoStreamBlock(nn.Module):
    def __init__(self, hidden_index: int) -> None:
        super().__init__()
        self.hidden_index = hidden_index

    def forward(self, hidden_states, encoder_hidden_states, shift):
        pair = (hidden_states + 2 * encoder_hidden_states + shift, encoder_hidden_states + 1)
        return pair if self.hidden_index == 0 else pair[::-1]


@pytest.mark.parametrize("hidden_index", [0, 1])
@pytest.mark.parametrize("by_name", [False, True])
def test_blocks_of_two_streams_hand_both_on_and_the_images_is_forecast(hidden_index, by_name):
    settings_ = ForecastSettings(method=Method.REUSE, warmup_steps=2)
    trunk = Trunk([TwoStreamBlock(hidden_index), TwoStreamBlock(hidden_index)], settings_, hidden_index=hidden_index)
    for step, expected in enumerate([[14.0, 4.0], [15.0, 4.0], [15.0, 2.0]]):  # step 2 repeats step 1's image
        trunk.call = TrunkCall(branch="cond", step=step, num_steps=3)
        image, text, shift = torch.full((1, 1, 1), 4.0 + step), torch.full((1, 1, 1), 2.0), 0.0
        if by_name:
            output = trunk(hidden_states=image, encoder_hidden_states=text, shift=shift)
        else:
            output = trunk(image, text, shift)
        assert [output[hidden_index].item(), output[1 - hidden_index].item()] == expected


@pytest.mark.parametrize("fields", [{"features": "velocity"}, {"error_budget": 0.1}])
def test_what_a_trunk_cannot_do_is_refused(fields):
    with pytest.raises(ValueError, match="needs a render engine"):
        Trunk([nn.Identity()], ForecastSettings(**fields))
