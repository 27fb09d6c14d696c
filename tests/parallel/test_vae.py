"""Decoding on all ranks together gives one rank's pixels."""

import pytest
import torch

from parallel.vae import DecodeError, check_parallel_decode

TOLERANCE = 1e-5
"""Of pixels in [-1, 1]: sums of convolutions are rounded in another order."""


@pytest.mark.parametrize("world_size", [2, 4])
def test_every_rank_has_the_pixels_of_one(in_memory, world_size):
    alone = in_memory[1][0]["pixels"]
    for rank in in_memory[world_size]:
        assert torch.equal(rank["pixels"], alone), "the ranks decode different latents"
        assert (rank["pixels together"] - alone).abs().max() <= TOLERANCE


def test_pixels_are_no_constant(in_memory):
    """Else the comparison above could not fail."""
    assert in_memory[1][0]["pixels"].std() > 0.1


@pytest.mark.parametrize(("rows", "ranks"), [(12, 4), (12, 12), (60, 8)])
def test_a_row_for_each_rank_is_enough(rows, ranks):
    check_parallel_decode(latent_rows=rows, num_ranks=ranks)


def test_fewer_rows_than_ranks_are_refused_with_the_most_that_work():
    with pytest.raises(DecodeError, match="at most 12 ranks, not 13"):
        check_parallel_decode(latent_rows=12, num_ranks=13)


def test_rows_that_stay_together_count_as_one_band():
    check_parallel_decode(latent_rows=12, num_ranks=6, patch_size=2)
    with pytest.raises(DecodeError, match="at most 6 ranks"):
        check_parallel_decode(latent_rows=12, num_ranks=7, patch_size=2)
    with pytest.raises(DecodeError, match="13 rows of latents do not divide into bands of 2"):
        check_parallel_decode(latent_rows=13, num_ranks=2, patch_size=2)
