"""The least seconds of a video, where there are figures for the GPU and the model."""

import pytest

from orchestrator.slurm_prediction import least_video_seconds
from parallel.layout import Layout
from parallel.render_case import Rounds


def seconds(**changed):
    values = {
        **{"gpu_type": "h100", "model": "wan2.1_t2v_14b", "layout": Layout(), "rounds": Rounds(num_full=14)},
        **{"num_frames": 81, "height": 480, "width": 832},
    }
    return least_video_seconds(**values | changed)


def test_wan_14b_on_one_h100_is_near_what_its_arithmetic_takes():
    """1.8 PFLOP a pass, two passes a round, 50 rounds, 790 TFLOP/s: 228 s."""
    assert 228 < seconds(rounds=Rounds()) < 300


def test_more_ranks_take_less():
    assert seconds(layout=Layout(cfg=2, ulysses=4)) < seconds() / 3


@pytest.mark.parametrize("gpu_type", ["h100", "H100", "nvidia_h100_80gb_hbm3", "h200"])
def test_names_of_clusters_are_understood(gpu_type):
    assert seconds(gpu_type=gpu_type) == pytest.approx(seconds(), rel=0.05)


@pytest.mark.parametrize("changed", [{"gpu_type": None}, {"gpu_type": "a100"}, {"model": "tiny_wan"}])
def test_nothing_is_said_without_figures(changed):
    assert seconds(**changed) is None
