"""A stock transformer under sequence parallelism, against itself in one process."""

from types import SimpleNamespace

import pytest
import torch

from parallel.apply import _enable_on_cpu, apply_sequence_parallel
from parallel.layout import AttentionEngine, Layout, LayoutError

NUM_TOKENS = 16
WORLD_SIZES = (1, 2, 4)
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def on_ranks(results):
    return {world_size: [result["transformer"] for result in of_gang] for world_size, of_gang in results.items()}


@pytest.fixture(scope="module")
def alone(on_ranks):
    """What one process computes."""
    return on_ranks[1][0]


@pytest.mark.parametrize("world_size", [2, 4])
def test_every_rank_has_the_output_of_one_process(on_ranks, alone, world_size):
    for result in on_ranks[world_size]:
        torch.testing.assert_close(result["output"], alone["output"], **CLOSE)


@pytest.mark.parametrize("world_size", [2, 4])
def test_last_block_returns_the_slice_that_the_token_group_gathers(on_ranks, alone, world_size):
    for rank, result in enumerate(on_ranks[world_size]):
        assert result["features"].shape == (1, NUM_TOKENS // world_size, 48)
        torch.testing.assert_close(result["features"], alone["features"].chunk(world_size, dim=1)[rank], **CLOSE)
        torch.testing.assert_close(result["gathered_features"], alone["features"], **CLOSE)


@pytest.mark.parametrize("world_size", [2, 4])
def test_comparison_notices_attention_that_stays_on_the_rank(results, alone, world_size):
    """The control of the tests above: the same but for attention that sees the rank's own tokens only."""
    for result in results[world_size]:
        local = result["local_attention"]
        assert not torch.allclose(local["output"], alone["output"], atol=1e-2)
        assert not torch.allclose(local["gathered_features"], alone["features"], atol=1e-2)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_degree_that_does_not_divide_the_heads_is_refused_and_the_model_still_works(on_ranks, world_size):
    for result in on_ranks[world_size]:
        assert result["too_many"] == "ulysses 3 does not divide the model's 4 attention heads"


@pytest.mark.parametrize(
    ("layout", "engine"),
    [
        (Layout(ring=2), AttentionEngine.DIFFUSERS),
        (Layout(ring=2, ulysses=2), AttentionEngine.DIFFUSERS),
        (Layout(ulysses=2), AttentionEngine.XFUSER),
    ],
)
def test_float32_on_gpus_is_refused_before_a_round_where_attention_takes_16_bits_alone(layout, engine):
    on_gpu = SimpleNamespace(
        config=SimpleNamespace(num_attention_heads=4), device=torch.device("cuda"), dtype=torch.float32
    )
    with pytest.raises(LayoutError, match=r"in bfloat16 or float16 alone, and the model is in float32"):
        apply_sequence_parallel(on_gpu, layout, rank=0, engine=engine)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_layout_of_another_number_of_ranks_than_the_group_is_refused(on_ranks, world_size):
    for result in on_ranks[world_size]:
        assert f"the group has {world_size}" in result["wrong_world"]


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_no_patch_of_the_library_is_left_behind(results, world_size):
    assert all(result["device_count_kept"] for result in results[world_size])


def test_gpu_in_sight_of_a_model_on_the_cpu_is_refused_in_words(monkeypatch):
    """diffusers' context parallelism would take it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(RuntimeError, match="hide them with CUDA_VISIBLE_DEVICES=''"):
        _enable_on_cpu(SimpleNamespace(), SimpleNamespace())
