"""What is predicted of a launch's videos, from the model's folder and what the cluster says of its GPUs."""

from dataclasses import replace

import pytest
import torch

from benchmarks.published_times import diffusers_render
from orchestrator.choices import Device
from orchestrator.cost_model import GPU_EFFICIENCY, VideoLoad, cost_model, loads_of
from orchestrator.room import Room
from parallel.hardware import H100, H200
from parallel.layout import Layout
from parallel.render_case import Rounds
from parallel.render_memory import checkpoint_bytes, history_bytes
from parallel.wan_shapes import SIZE_480P, VideoSize
from spectrum import Features, ForecastSettings, History
from spectrum.adaptive import first_plan

SMALL = VideoLoad(size=VideoSize(num_frames=9, height=64, width=64), rounds=Rounds(num_steps=8, num_full=6))


def test_efficiency_is_the_benchmarks_own():
    assert pytest.approx(diffusers_render().assumptions.efficiency, abs=0.005) == GPU_EFFICIENCY


def make(model_folder, **changes):
    given = {"device": Device.CUDA, "room": Room(nodes=(8,), gpu_type="NVIDIA H200")} | changes
    return cost_model(model_folder=model_folder, num_text_tokens=24, **given)


def test_shape_is_read_from_the_models_folder(model_folder):
    shape = make(model_folder).model
    assert (shape.num_blocks, shape.num_heads, shape.width, shape.feed_forward) == (8, 8, 192, 768)
    assert shape.num_text_tokens == 24


@pytest.mark.parametrize(("gpu_type", "chip"), [("NVIDIA H200", H200), ("H100", H100), (None, H100), ("L4", H100)])
def test_chip_is_what_the_cluster_says_and_otherwise_taken_for_an_h100_openly(model_folder, gpu_type, chip):
    costs = make(model_folder, room=Room(nodes=(4,), gpu_type=gpu_type))
    assert costs.chip == chip
    assert costs.is_assumed == (gpu_type in (None, "L4"))
    assert costs.network.gpus_per_node == 4


def test_cores_of_a_rank_make_it_faster_on_the_cpu(model_folder):
    seconds = [
        make(model_folder, device=Device.CPU, room=Room(nodes=(2,)), cpus_per_rank=cores).seconds(SMALL, Layout())
        for cores in (1, 2, 4)
    ]
    assert seconds[0] > seconds[1] > seconds[2]


def test_videos_are_counted_by_what_they_cost(make_request):
    other = ForecastSettings(features=Features.VELOCITY)
    requests = [make_request(seed=seed, prompt=f"video {seed}") for seed in range(5)]
    requests += [make_request(forecast=other), make_request(guidance_scale=1.0), make_request(height=96)]
    loads = loads_of(requests)
    assert [load.count for load in loads] == [5, 1, 1, 1]
    assert [load.is_velocity for load in loads] == [False, True, False, False]
    assert [load.is_guided for load in loads] == [True, True, False, True]
    assert loads[0].rounds.num_full == requests[0].forecast.plan(8).num_full


@pytest.mark.parametrize("max_history", [None, 2, 20])
def test_memory_counts_what_the_engine_allocates_for_an_error_budget(model_folder, make_request, max_history):
    """Whatever plan stands for the one that is not known yet: histories and checkpoints at their largest."""
    forecast = ForecastSettings(error_budget=0.1, max_history=max_history)
    capacity = forecast.capacity(first_plan(50))
    assert capacity == (max_history or 8)
    case = make(model_folder).memory_case(loads_of([make_request(num_steps=50, forecast=forecast)])[0], Layout())
    assert history_bytes(case) == capacity * 2 * case.slice_bytes
    history = History(capacity)
    for step in range(30):
        history.append(step, torch.zeros(case.own_tokens, case.model.width, dtype=torch.bfloat16))
    assert 2 * history.num_bytes == history_bytes(case)
    without = replace(case, num_snapshots=0)
    _, stored = history.stored()
    assert checkpoint_bytes(case).full - checkpoint_bytes(without).full == 2 * stored.nbytes


def test_mean_is_weighted_by_the_number_of_videos(model_folder):
    costs = make(model_folder)
    large = replace(SMALL, size=SIZE_480P, count=3)
    expected = (costs.seconds(SMALL, Layout()) + 3 * costs.seconds(large, Layout())) / 4
    assert costs.mean_seconds([SMALL, large], Layout()) == pytest.approx(expected)


def test_gang_is_free_sooner_where_others_decode(model_folder):
    costs = make(model_folder)
    alone = replace(costs, has_decoders=True)
    assert alone.seconds(SMALL, Layout()) < costs.seconds(SMALL, Layout())


def test_without_guidance_a_video_takes_less_and_cfg_is_no_layout_for_it(model_folder):
    costs = make(model_folder)
    unguided = replace(SMALL, is_guided=False)
    assert costs.seconds(unguided, Layout()) < costs.seconds(SMALL, Layout())
    with pytest.raises(ValueError, match="cfg 2 needs two guidance branches"):
        costs.seconds(unguided, Layout(cfg=2))
