"""Bytes on a rank, against what is known of the models and of decoding."""

from dataclasses import replace

import pytest

from parallel.hardware import H100, HOPPER_NODES
from parallel.layout import Layout
from parallel.render_case import Render, Rounds
from parallel.render_memory import block_values, other_values, rank_memory
from parallel.wan_shapes import PATCH_VALUES, SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B

RENDER = Render(model=WAN_14B, size=SIZE_480P, chip=H100, network=HOPPER_NODES, rounds=Rounds(num_full=14))
SNAPSHOT = 32_760 * 5120


@pytest.mark.parametrize(("model", "billions"), [(WAN_14B, 14.3), (WAN_1_3B, 1.42)])
def test_parameters_are_the_models(model, billions):
    values = model.num_blocks * block_values(model) + other_values(model)
    assert values / 1e9 == pytest.approx(billions, rel=0.01)


def test_history_is_a_snapshot_for_each_full_round_and_branch_and_the_sum():
    assert rank_memory(RENDER).history == SNAPSHOT * (14 * 2 * 2 + 4)
    assert rank_memory(replace(RENDER, layout=Layout(cfg=2, ulysses=4))).history == SNAPSHOT * (14 * 2 + 4) / 4
    assert rank_memory(RENDER, feature_values=PATCH_VALUES).history == SNAPSHOT / 80 * (14 * 2 * 2 + 4)
    assert rank_memory(replace(RENDER, rounds=Rounds())).history == 0


@pytest.mark.parametrize(("size", "gib"), [(SIZE_480P, 7.6), (SIZE_720P, 17.5)])
def test_decoding_is_what_the_benchmark_counts(size, gib):
    """`python -m benchmarks.decode_memory`, float32, whole."""
    render = replace(RENDER, size=size, layout=Layout(cfg=2, ulysses=4))
    assert rank_memory(render).working / 2**30 == pytest.approx(gib, rel=0.01)


def test_sharded_blocks_leave_a_rank_its_part_and_two_whole_ones():
    render = replace(RENDER, layout=Layout(ulysses=8))
    whole, sharded = rank_memory(render), rank_memory(render, shard_blocks=True)
    blocks = 40 * block_values(WAN_14B) * 2
    assert whole.weights - sharded.weights == pytest.approx(blocks * (7 / 8 - 2 / 40))


def test_text_encoder_counts_only_where_nothing_else_needs_as_much():
    without = rank_memory(RENDER)
    assert rank_memory(RENDER, text_encoder_bytes=11e9).total == without.total
    assert rank_memory(RENDER, text_encoder_bytes=50e9).total > without.total


def test_workers_that_decode_take_the_decoder_from_the_gang():
    render = replace(RENDER, layout=Layout(cfg=2, ulysses=4))
    assert rank_memory(render, decodes=False).total < rank_memory(render).total
    assert rank_memory(render, tiled=True).working < rank_memory(render).working
