"""Slicing, gathering and telling each other, on gangs of 1, 2 and 4 real ranks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parallel.layout import Layout, LayoutError
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
def test_tokens_that_do_not_divide_are_refused_on_every_rank(on_ranks, world_size):
    expected = f"{NUM_TOKENS - 1} tokens do not divide by the {world_size} ranks of ulysses {world_size}"
    assert [result["odd_tokens"] for result in on_ranks[world_size]] == [expected] * world_size


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


@given(ranks=st.integers(2, 8), num_tokens=st.integers(1, 60))
def test_slice_refuses_exactly_what_does_not_divide(ranks, num_tokens):
    group = TokenGroup(layout=Layout(ulysses=ranks), rank=ranks - 1)
    if num_tokens % ranks:
        with pytest.raises(LayoutError, match=f"{num_tokens} tokens"):
            group.slice(torch.zeros(1, num_tokens, 1))
    else:
        assert group.slice(torch.zeros(1, num_tokens, 1)).shape[1] == num_tokens // ranks
