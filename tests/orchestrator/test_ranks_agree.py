"""One video of 50 steps with forecasts, rendered by 1, 2 and 4 real ranks: the same to the last bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spectrum import ForecastSettings, Round

WORLD_SIZES = (1, 2, 4)
PLAN = ForecastSettings().plan(50)


@pytest.fixture(scope="module")
def results(gang, model_folder):
    return gang(
        Path(__file__).with_name("render_tasks.py"), "render_and_control", WORLD_SIZES, model=str(model_folder)
    )


@pytest.fixture(scope="module")
def alone(results):
    """The video of one process."""
    return results[1][0]["video"]


def videos(results, world_size) -> list[dict]:
    """By rank."""
    return [result["video"] for result in results[world_size]]


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_do_not_change_the_noise(results, alone, world_size):
    assert all(torch.equal(video["noise"], alone["noise"]) for video in videos(results, world_size))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_do_not_change_the_latents(results, alone, world_size):
    assert all(torch.equal(video["latents"], alone["latents"]) for video in videos(results, world_size))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_do_not_change_the_decoded_video(results, alone, world_size):
    first, *others = videos(results, world_size)
    assert alone["frames"].shape == (9, 64, 96, 3)
    assert np.array_equal(first["frames"], alone["frames"])
    assert all(video["frames"] is None for video in others), "rank 0 alone decodes"


def test_comparison_notices_attention_that_stays_on_the_rank(results, alone):
    """The control of the tests above: tokens are split and gathered, but attention sees its own rank's only."""
    local = results[2][0]["control"]
    assert torch.equal(local["noise"], alone["noise"])
    assert not torch.allclose(local["latents"], alone["latents"], rtol=0, atol=1e-3)
    assert not np.array_equal(local["frames"], alone["frames"])


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_follows_the_plan(results, world_size):
    for video in videos(results, world_size):
        assert tuple(kind for kinds, _, _ in video["segments"] for kind in kinds) == PLAN.rounds
        assert all(kinds[0] is Round.FULL for kinds, _, _ in video["segments"])


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_forecast_rounds_run_no_block(results, world_size):
    """Each segment runs the blocks of one full round (two branches), however many forecasts follow it."""
    for video in videos(results, world_size):
        assert {num_calls for _, num_calls, _ in video["segments"]} == {2 * video["num_blocks"]}


@pytest.mark.parametrize("world_size", [2, 4])
def test_forecast_rounds_issue_no_collective(results, world_size):
    """Each segment issues the collectives of one full round, at least one a block, however many forecasts follow."""
    for video in videos(results, world_size):
        [num_collectives] = {collectives for _, _, collectives in video["segments"]}
        assert num_collectives > 2 * video["num_blocks"]
        assert len({len(kinds) for kinds, _, _ in video["segments"]}) > 2, "segments of several lengths"


def test_one_process_issues_no_collective(alone):
    assert {collectives for _, _, collectives in alone["segments"]} == {0}
