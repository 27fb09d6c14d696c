"""Spectrum before and after context parallelism: two real ranks against one process."""

from pathlib import Path

import pytest
import torch

from spectrum import ForecastSettings

CLOSE = {"rtol": 0, "atol": 1e-4}
NUM_TOKENS = 8
both = pytest.mark.parametrize("order", ["before", "after"])


@pytest.fixture(scope="module")
def on_ranks(gang):
    return gang(Path(__file__).with_name("parallel_tasks.py"), "render_in_every_order", [1, 2], timeout=300)


@both
def test_every_rank_has_the_latents_of_one_process(on_ranks, order):
    alone = on_ranks[1][0][order]
    for result in on_ranks[2]:
        torch.testing.assert_close(result[order]["forecast"], alone["forecast"], **CLOSE)
    assert not torch.allclose(alone["forecast"], alone["removed"], atol=1e-2), "a forecast must change something"


@both
def test_each_rank_forecasts_its_slice_of_the_tokens_and_runs_the_full_rounds_only(on_ranks, order):
    num_full = ForecastSettings(warmup_steps=2).plan(12).num_full
    for world_size in (1, 2):
        for result in on_ranks[world_size]:
            assert result[order]["lengths"] == {NUM_TOKENS // world_size}
            assert result[order]["num_forwards"] == num_full * 2


@both
def test_a_video_after_one_that_was_broken_off_is_the_same_on_every_rank(on_ranks, order):
    for result in on_ranks[2]:
        assert torch.equal(result[order]["again"], result[order]["forecast"])


@both
def test_after_removal_the_tokens_are_still_split(on_ranks, order):
    alone = on_ranks[1][0][order]["removed"]
    for result in on_ranks[2]:
        torch.testing.assert_close(result[order]["removed"], alone, **CLOSE)


@pytest.fixture(scope="module")
def with_svd(gang):
    return gang(Path(__file__).with_name("parallel_tasks.py"), "render_with_svd_in_every_order", [1, 2], timeout=300)


MESSAGE = "method=svd needs all tokens of a video on one rank, and context parallelism splits those"


def test_svd_is_refused_where_the_tokens_are_split_already(with_svd):
    for result in with_svd[2]:
        assert result["after"]["at_apply"].startswith(MESSAGE)
        assert result["after"]["is_untouched"]


def test_svd_is_refused_at_the_first_forward_where_the_tokens_are_split_later(with_svd):
    for result in with_svd[2]:
        assert result["before"]["at_apply"] is None
        assert result["before"]["at_render"].startswith(MESSAGE)
        assert result["before"]["num_forwards"] == 0


@both
def test_svd_renders_where_one_rank_has_all_tokens(with_svd, order):
    [result] = with_svd[1]
    assert result[order]["latents"].isfinite().all()
