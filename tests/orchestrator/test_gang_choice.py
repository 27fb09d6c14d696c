"""Gangs for latency and for throughput, on made-up clusters: no rank runs here."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cost_model import GPU_EFFICIENCY, CostModel, VideoLoad
from orchestrator.errors import BadInput
from orchestrator.gang_choice import GangChoice, Objective, choose_gangs
from orchestrator.room import Room
from parallel.hardware import A800, CPU_NODES, H20, H100, H200, HOPPER_NODES, NETWORKS, cpu_chip
from parallel.layout import Layout, reasons_against, splits_evenly
from parallel.render_case import Assumptions, Rounds
from parallel.wan_shapes import SIZE_480P, SIZE_720P, WAN_1_3B, WAN_14B, VideoSize, WanShape

LATENCY, THROUGHPUT = Objective
TINY = WanShape(
    name="tiny", num_blocks=8, num_heads=8, feed_forward=768, head_width=24, num_text_tokens=24, text_width=128
)
ONE_NODE = Room(nodes=(8,))


def costs_of(model=WAN_14B, chip=H100, ranks_per_node=8, **changes) -> CostModel:
    network = replace(NETWORKS.get(chip, HOPPER_NODES), gpus_per_node=ranks_per_node)
    return CostModel(
        model=model, chip=chip, network=network, assumptions=Assumptions(efficiency=GPU_EFFICIENCY), **changes
    )


def videos(size=SIZE_480P, count=1000, num_full=14, **changes) -> VideoLoad:
    return VideoLoad(size=size, rounds=Rounds(num_full=num_full), count=count, **changes)


def choose(room=ONE_NODE, loads=None, costs=None, objective=LATENCY, **more) -> GangChoice:
    costs = costs or costs_of(ranks_per_node=room.ranks_per_node)
    return choose_gangs(room, loads or [videos()], costs, objective=objective, **more)


def test_latency_takes_all_gpus_of_a_node_for_one_video():
    chosen = choose()
    assert (chosen.num_gangs, chosen.layout) == (1, Layout(cfg=2, ulysses=4))


def test_throughput_takes_one_gpu_for_each_video():
    chosen = choose(objective=THROUGHPUT)
    assert (chosen.num_gangs, chosen.layout) == (8, Layout())


def test_each_is_the_better_one_by_its_own_measure():
    latency, throughput = choose(), choose(objective=THROUGHPUT)
    assert latency.video_seconds < throughput.video_seconds
    assert latency.videos_per_hour < throughput.videos_per_hour


def test_few_videos_get_more_gpus_each():
    chosen = choose(loads=[videos(count=4)], objective=THROUGHPUT)
    assert (chosen.num_gangs, chosen.layout.world_size) == (4, 2)


def test_line_says_what_is_predicted_and_what_the_other_objective_would_give():
    assert choose(objective=THROUGHPUT).explanation == (
        "8 gangs of one rank, for throughput: 203 videos an hour predicted, against 145 videos an hour with "
        "1 gang of 8 ranks (cfg 2 × ulysses 4) (figures of H100)"
    )
    assert choose(costs=costs_of(is_assumed=True)).explanation.startswith("1 gang of 8 ranks (cfg 2 × ulysses 4), ")
    assert choose(costs=costs_of(is_assumed=True)).explanation.endswith("(figures of H100, assumed)")


def test_gang_is_as_large_as_the_weights_and_activations_need():
    """The 14B in bf16 is 29 GB, its history at 480p 10 GB and activations 4 GB."""
    costs = costs_of(chip=replace(H100, capacity_bytes=45e9))
    chosen = choose(costs=costs, objective=THROUGHPUT)
    assert (chosen.num_gangs, chosen.layout.world_size) == (4, 2)
    assert not chosen.shard_blocks
    assert "smaller gangs do not fit the 45 GB of a GPU" in chosen.explanation


def test_blocks_are_sharded_where_no_gpu_holds_them():
    costs = costs_of(chip=replace(H100, capacity_bytes=24e9))
    chosen = choose(costs=costs, objective=THROUGHPUT)
    assert chosen.shard_blocks and chosen.layout.world_size > 1
    assert "blocks sharded" in chosen.explanation


def test_video_that_no_gang_holds_is_refused_in_one_line():
    with pytest.raises(
        BadInput, match=r"job\.objective=throughput: no gang on 8 ranks would hold such a video"
    ) as error:
        choose(costs=costs_of(chip=replace(H100, capacity_bytes=2e9)), objective=THROUGHPUT)
    assert "\n" not in str(error.value)


def test_number_of_gangs_that_was_asked_for_holds():
    for objective in Objective:
        chosen = choose(objective=objective, num_gangs=2)
        assert (chosen.num_gangs, chosen.layout.world_size) == (2, 4)
    with pytest.raises(BadInput, match=r"cluster\.num_gangs=9: the cluster has room for 8 ranks"):
        choose(num_gangs=9)


def test_cluster_without_any_room_is_refused():
    with pytest.raises(BadInput, match="the cluster has room for 0 ranks"):
        choose(room=Room(nodes=()))


def test_demo_on_the_cpu_splits_a_video_for_latency_and_not_for_throughput():
    costs = CostModel(
        model=TINY,
        chip=cpu_chip(1),
        network=replace(CPU_NODES, gpus_per_node=2),
        assumptions=Assumptions(text_seconds=0.1, video_seconds=0.5),
        weight_bytes=4,
    )
    loads = [videos(VideoSize(num_frames=17, height=96, width=96), count=4)]
    latency = choose(Room(nodes=(2,)), loads, costs)
    throughput = choose(Room(nodes=(2,)), loads, costs, THROUGHPUT)
    assert (latency.num_gangs, latency.layout.world_size) == (1, 2)
    assert (throughput.num_gangs, throughput.layout.world_size) == (2, 1)
    assert "figures of 1 CPU core" in latency.explanation


ROOMS = st.lists(st.integers(1, 8), min_size=1, max_size=5).map(lambda nodes: Room(nodes=tuple(nodes)))
SIZES = st.sampled_from([SIZE_480P, SIZE_720P, VideoSize(height=480, width=480), VideoSize(height=400, width=656)])


@given(
    room=ROOMS,
    sizes=st.lists(SIZES, min_size=1, max_size=3, unique=True),
    guided=st.booleans(),
    count=st.integers(1, 50),
    model=st.sampled_from([WAN_14B, WAN_1_3B]),
    chip=st.sampled_from([H100, H200, H20, A800]),
    objective=st.sampled_from(Objective),
)
def test_choice_has_room_fits_every_video_and_keeps_ulysses_within_a_node(objective, room, sizes, count, **drawn):
    guided = drawn["guided"]
    costs = costs_of(drawn["model"], drawn["chip"], room.ranks_per_node)
    loads = [videos(size, count, is_guided=guided) for size in sizes]
    chosen = choose(room, loads, costs, objective)
    assert 1 <= chosen.num_gangs <= room.gangs_that_fit(chosen.layout.world_size)
    assert chosen.num_gangs <= count * len(sizes)
    assert chosen.layout.ulysses <= room.ranks_per_node
    for load in loads:
        problem = costs.problem(load)
        assert not reasons_against(chosen.layout, problem) and splits_evenly(chosen.layout, problem)
        assert costs.fits(load, chosen.layout, shard_blocks=chosen.shard_blocks)


@given(room=ROOMS, count=st.integers(1, 200), objective=st.sampled_from(Objective))
def test_more_nodes_are_never_worse(room, count, objective):
    larger = Room(nodes=(*room.nodes, room.ranks_per_node))
    costs = costs_of(ranks_per_node=room.ranks_per_node)
    before = choose(room, [videos(count=count)], costs, objective)
    after = choose(larger, [videos(count=count)], costs, objective)
    if objective is LATENCY:
        assert after.video_seconds <= before.video_seconds
    else:
        assert after.videos_per_hour >= before.videos_per_hour
