"""Seconds of a video and of a batch."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.choices import Device
from orchestrator.cost_model import VideoLoad, cost_model_of
from orchestrator.estimate_time import makespan, measured_seconds, modelled_seconds
from orchestrator.measured_times import read_measured
from orchestrator.room import Room
from parallel.hardware import H100
from parallel.layout import Layout
from parallel.published import DIFFUSERS_480P_SECONDS
from parallel.render_case import Rounds
from parallel.render_time import predict
from parallel.wan_shapes import SIZE_480P, WAN_14B, VideoSize

COSTS = cost_model_of(WAN_14B, device=Device.CUDA, room=Room(nodes=(8,), gpu_type=H100.name))
LOAD = VideoLoad(size=SIZE_480P, rounds=Rounds(num_steps=50, num_full=14))
NO_DECODERS = (False, False, False)


def modelled(load: VideoLoad = LOAD, layout: Layout | None = None):
    return modelled_seconds(COSTS, load, layout or Layout(), shard_blocks=False, basis="H100")


@pytest.mark.parametrize("layout", [Layout(), Layout(cfg=2, ulysses=4), Layout(ulysses=8), Layout(ring=2, ulysses=2)])
@pytest.mark.parametrize("num_full", [10, 14, 50])
def test_parts_add_up_to_what_the_cost_model_says(layout, num_full):
    load = replace(LOAD, rounds=Rounds(num_steps=50, num_full=num_full))
    assert modelled(load, layout).total == pytest.approx(predict(COSTS.render(load, layout)).total, rel=0.001)


def test_all_rounds_full_on_one_gpu_take_what_was_published():
    assert modelled().all_full == pytest.approx(DIFFUSERS_480P_SECONDS, rel=0.02)
    assert modelled().speedup == pytest.approx(3.4, abs=0.1)


def test_slices_of_unequal_length_are_said_to_be_taken_as_equal():
    load = replace(LOAD, size=VideoSize(height=480, width=832, num_frames=77))  # 31,200 tokens
    uneven = modelled(load, Layout(ulysses=7)) if 31_200 % 7 else None
    assert uneven is not None and "unequal" in uneven.basis
    assert uneven.full_round == pytest.approx(modelled(load).full_round / 7, rel=0.01)


def test_gangs_take_the_next_video_as_they_come_free():
    assert makespan([(10.0, 4)], 2) == 20
    assert makespan([(10.0, 5)], 2) == 30
    assert makespan([(10.0, 1), (1.0, 5)], 2) == 10
    assert makespan([], 3) == 0


@pytest.fixture
def run(write_run) -> Path:
    return write_run(2, full=0.5, forecast=0.1)


def test_measured_rounds_stand_for_other_plans(run):
    like = read_measured(run)
    assert like is not None
    load = replace(LOAD, rounds=Rounds(num_steps=20, num_full=5))
    seconds = measured_seconds(like, load, modelled(load), decode=NO_DECODERS)
    assert seconds is not None
    assert seconds.total == pytest.approx(5 * 0.5 + 15 * 0.1 + 0.02 + 0.4 + 0.3 + 0.05, abs=0.06)
    assert seconds.basis.startswith(f"2 videos of {run.name}") and "on node7: measured" in seconds.basis


def test_what_was_not_measured_is_modelled_and_said_so(write_run):
    like = read_measured(write_run(2, full=0.5, forecast=None))
    assert like is not None
    seconds = measured_seconds(like, LOAD, modelled(), decode=(True, False, False))
    assert seconds is not None
    assert seconds.forecast_round == pytest.approx(modelled().forecast_round * 0.5 / modelled().full_round)
    assert seconds.decode == modelled().decode
    assert "forecast rounds: H100" in seconds.basis and "decode: H100" in seconds.basis


def test_workers_take_decoding_from_the_gangs(write_run):
    like = read_measured(write_run(2, full=0.5, forecast=0.1, worker=True))
    assert like is not None
    seconds = measured_seconds(like, LOAD, modelled(), decode=(False, False, True))
    assert seconds is not None and seconds.decode == 0 and seconds.other < 0.2
