"""One video's solver against the stock scheduler."""

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.loading import load_scheduler
from orchestrator.solver import Solver

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scheduler(model_folder) -> UniPCMultistepScheduler:
    return load_scheduler(model_folder)


def velocity_at(step, like):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(step))


def run(solver, tokens, num_steps, velocities) -> list[torch.Tensor]:
    samples = []
    for step in range(num_steps):
        tokens = solver.advance(step, velocities(step), tokens)
        samples.append(tokens)
    return samples


@pytest.mark.parametrize("flow_shift", [3.0, 5.0])
def test_steps_are_the_stock_schedulers_with_that_shift_bit_for_bit(scheduler, flow_shift):
    stock = UniPCMultistepScheduler.from_config(scheduler.config, flow_shift=flow_shift)
    stock.set_timesteps(12)
    solver = Solver(scheduler, num_steps=12, flow_shift=flow_shift, device=CPU)
    expected = tokens = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(99))
    for step, timestep in enumerate(stock.timesteps):
        assert torch.equal(solver.timestep(step), timestep[None])
        velocity = velocity_at(step, tokens)
        expected = stock.step(velocity, timestep, expected, return_dict=False)[0]
        tokens = solver.advance(step, velocity, tokens)
        assert torch.equal(tokens, expected)


@settings(deadline=None, max_examples=12)
@given(num_steps=st.integers(1, 10), ranks=st.sampled_from([2, 3, 6]), flow_shift=st.floats(0.5, 10))
def test_a_slice_advances_as_the_whole_does(scheduler, num_steps, ranks, flow_shift):
    arguments = {"num_steps": num_steps, "flow_shift": flow_shift, "device": CPU}
    tokens = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(99))
    whole = run(Solver(scheduler, **arguments), tokens, num_steps, lambda step: velocity_at(step, tokens))
    for rank in range(ranks):
        piece = run(
            Solver(scheduler, **arguments),
            tokens.chunk(ranks, dim=1)[rank],
            num_steps,
            lambda step, rank=rank: velocity_at(step, tokens).chunk(ranks, dim=1)[rank],
        )
        assert torch.equal(piece[-1], whole[-1].chunk(ranks, dim=1)[rank])


def test_true_velocity_leads_to_the_clean_sample(scheduler):
    """With a constant velocity (noise − clean) the flow is a straight line, which every solver follows exactly."""
    clean = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(2))
    samples = run(Solver(scheduler, num_steps=10, flow_shift=3.0, device=CPU), noise, 10, lambda _step: noise - clean)
    torch.testing.assert_close(samples[-1], clean, rtol=0, atol=1e-4)


def test_the_models_scheduler_is_not_touched_and_videos_do_not_mix(scheduler):
    before = dict(scheduler.config)
    tokens = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(99))

    def velocities(step):
        return velocity_at(step, tokens)

    alone = run(Solver(scheduler, num_steps=8, flow_shift=3.0, device=CPU), tokens, 8, velocities)[-1]
    one, other = (Solver(scheduler, num_steps=8, flow_shift=shift, device=CPU) for shift in (3.0, 7.0))
    mixed, other_tokens = tokens, -tokens
    for step in range(8):
        mixed = one.advance(step, velocities(step), mixed)
        other_tokens = other.advance(step, 2 * velocities(step), other_tokens)
    assert torch.equal(mixed, alone)
    assert dict(scheduler.config) == before
    assert scheduler.step_index is None
