"""A video with forecasts, rendered under every kind of layout by real ranks, against one process.

Of 50 steps; of 20 where the slices are uneven.

In float32 on the CPU. Ulysses and guidance layouts compute each value with the same operations in the same order
as one process, so they are equal to the last bit. A ring joins partial softmax sums, in another order.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from spectrum import ForecastSettings, Round

PLANS = {"even": ForecastSettings().plan(50), "uneven": ForecastSettings().plan(20)}

EXACT = [
    (2, ("even", "ulysses 2", "diffusers")),
    (2, ("even", "cfg 2", "diffusers")),
    (2, ("uneven", "ulysses 2", "diffusers")),
    (2, ("uneven", "cfg 2", "diffusers")),
    (2, ("even", "ulysses 2", "xfuser")),
    (4, ("even", "ulysses 4", "diffusers")),
    (4, ("even", "cfg 2 × ulysses 2", "diffusers")),
    (4, ("uneven", "ulysses 4", "diffusers")),
    (4, ("uneven", "cfg 2 × ulysses 2", "diffusers")),
]
RING = [
    (2, ("even", "ring 2", "diffusers")),
    (2, ("uneven", "ring 2", "diffusers")),
    (4, ("even", "ring 2 × ulysses 2", "diffusers")),
    (4, ("even", "ring 2 × ulysses 2", "xfuser")),
]
RING_TOLERANCE = 1e-5
"""Of the largest latent."""


@pytest.fixture(scope="module")
def results(gang, model_folder):
    return gang(
        Path(__file__).with_name("layout_tasks.py"),
        "render_every_layout",
        [1, 2, 4],
        timeout=400,
        model=str(model_folder),
    )


def reference(results, size: str) -> dict:
    return results[1][0][size, "one rank", "diffusers"]


@pytest.mark.parametrize(("world_size", "case"), EXACT)
def test_ulysses_and_guidance_layouts_are_equal_to_one_process_to_the_last_bit(results, world_size, case):
    alone = reference(results, case[0])
    for rank in results[world_size]:
        assert torch.equal(rank[case]["latents"], alone["latents"])
    assert np.array_equal(results[world_size][0][case]["frames"], alone["frames"])


@pytest.mark.parametrize(("world_size", "case"), RING)
def test_rings_are_equal_to_one_process_but_for_the_order_of_sums(results, world_size, case):
    alone = reference(results, case[0])["latents"]
    for rank in results[world_size]:
        difference = (rank[case]["latents"] - alone).abs().max() / alone.abs().max()
        assert 0 < difference <= RING_TOLERANCE


@pytest.mark.parametrize(("world_size", "case"), EXACT + RING)
def test_layouts_do_not_change_the_noise(results, world_size, case):
    alone = reference(results, case[0])["noise"]
    assert all(torch.equal(rank[case]["noise"], alone) for rank in results[world_size])


def test_attention_that_stays_on_the_rank_is_noticed(results):
    """The control of the tests above: tokens are split and gathered, but attention sees its own rank's only."""
    alone, wrong = reference(results, "even"), results[2][0]["control"]
    assert torch.equal(wrong["noise"], alone["noise"])
    difference = (wrong["latents"] - alone["latents"]).abs().max() / alone["latents"].abs().max()
    assert difference > 1000 * RING_TOLERANCE
    assert not np.array_equal(wrong["frames"], alone["frames"])


@pytest.mark.parametrize(("world_size", "case"), EXACT + RING)
def test_forecast_rounds_issue_no_collective_but_one_exchange_between_guidance_branches(results, world_size, case):
    expected = 1 if "cfg 2" in case[1] else 0
    for rank in results[world_size]:
        by_kind = {
            kind: {rank[case]["collectives"][step] for step, planned in enumerate(PLANS[case[0]]) if planned is kind}
            for kind in Round
        }
        assert by_kind[Round.FORECAST] == {expected}
        assert min(by_kind[Round.FULL]) > 0


@pytest.mark.parametrize(("world_size", "case"), EXACT + RING)
def test_every_rank_follows_the_plan_and_forecast_rounds_run_no_block(results, world_size, case):
    plan = PLANS[case[0]]
    branches = 1 if "cfg 2" in case[1] else 2
    for rank in results[world_size]:
        assert rank[case]["rounds"] == plan.rounds
        calls = {Round.FULL: branches * rank[case]["num_blocks"], Round.FORECAST: 0}
        assert rank[case]["block_calls"] == [calls[kind] for kind in plan]
