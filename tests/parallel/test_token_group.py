"""Slicing, gathering and telling each other, on gangs of 1, 2 and 4 real ranks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parallel.layout import Layout
from parallel.token_group import TokenGroup

WORLD_SIZES = (1, 2, 4)
NUM_TOKENS = 16
TOKENS = torch.arange(2 * NUM_TOKENS * 3, dtype=torch.float32).reshape(2, NUM_TOKENS, 3)


@pytest.fixture(scope="module")
def on_ranks(results):
    return {world_size: [result["token_group"] for result in of_gang] for world_size, of_gang in results.items()}


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_slices_are_the_tokens_in_the_order_of_the_ranks(on_ranks, world_size):
    assert torch.equal(torch.cat([result["slice"] for result in on_ranks[world_size]], dim=1), TOKENS)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_gathers_all_tokens_in_their_order_and_dtype(on_ranks, world_size):
    for result in on_ranks[world_size]:
        assert torch.equal(result["gathered"], TOKENS)
        assert torch.equal(result["gathered_bfloat16"], TOKENS.to(torch.bfloat16))


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_gets_what_rank_0_broadcasts_also_if_it_is_not_contiguous(on_ranks, world_size):
    expected = torch.linspace(-1, 1, 12).reshape(1, 4, 3).to(torch.bfloat16).mT
    for result in on_ranks[world_size]:
        assert result["broadcast"].dtype == torch.bfloat16
        assert torch.equal(result["broadcast"], expected)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_every_rank_learns_the_largest_value(on_ranks, world_size):
    assert [result["largest"] for result in on_ranks[world_size]] == [10 * world_size] * world_size


@pytest.mark.parametrize("world_size", [2, 4])
def test_slices_of_unequal_length_are_gathered_whole_on_every_rank(on_ranks, world_size):
    assert all(torch.equal(result["uneven"], TOKENS[:, 1:]) for result in on_ranks[world_size])


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_group_has_the_layouts_ranks_and_no_other_number(on_ranks, world_size):
    for result in on_ranks[world_size]:
        assert result["world_size"] == world_size
        assert f"needs {world_size + 1} ranks, the group has {world_size}" in result["wrong_world"]


@given(ranks=st.integers(1, 8), tokens_each=st.integers(1, 6), batch=st.integers(1, 2), values=st.integers(1, 5))
def test_slices_of_any_shape_put_together_are_the_whole(ranks, tokens_each, batch, values):
    tokens = torch.randn(batch, ranks * tokens_each, values)
    slices = [TokenGroup(layout=Layout(ulysses=ranks), rank=rank).slice(tokens) for rank in range(ranks)]
    assert all(piece.shape == (batch, tokens_each, values) for piece in slices)
    assert torch.equal(torch.cat(slices, dim=1), tokens)


@given(ranks=st.integers(1, 8), num_tokens=st.integers(8, 60))
def test_slices_differ_by_one_token_at_most_and_are_in_order(ranks, num_tokens):
    tokens = torch.arange(num_tokens).reshape(1, num_tokens, 1)
    slices = [TokenGroup(layout=Layout(ulysses=ranks), rank=rank).slice(tokens) for rank in range(ranks)]
    lengths = {piece.shape[1] for piece in slices}
    assert max(lengths) - min(lengths) <= 1
    assert torch.equal(torch.cat(slices, dim=1), tokens)


def test_the_two_guidance_branches_hold_the_same_slices():
    groups = [TokenGroup(layout=Layout(cfg=2, ring=2, ulysses=2), rank=rank) for rank in range(8)]
    assert [group.branch_index for group in groups] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [group.sequence_rank for group in groups] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert TokenGroup(layout=Layout(ulysses=2), rank=1).branch_index is None
