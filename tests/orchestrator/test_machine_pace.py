"""A full round on this CPU, from one block."""

import torch

from orchestrator.machine_pace import full_round_seconds
from parallel.wan_shapes import VideoSize, WanShape

SMALL = WanShape(name="small", num_blocks=2, num_heads=2, head_width=24, feed_forward=96, num_text_tokens=8)


def test_seconds_grow_with_blocks_and_frames():
    size = VideoSize(height=96, width=96, num_frames=17)
    seconds = full_round_seconds(SMALL, size, num_threads=1)
    more = WanShape(name="more", num_blocks=40, num_heads=2, head_width=24, feed_forward=96, num_text_tokens=8)
    assert 0 < seconds < full_round_seconds(more, size, num_threads=1)
    long = VideoSize(height=480, width=480, num_frames=81)
    assert full_round_seconds(SMALL, long, num_threads=1) > 10 * seconds


def test_threads_are_left_as_they_were():
    before = torch.get_num_threads()
    full_round_seconds(SMALL, VideoSize(height=16, width=16, num_frames=1), num_threads=before + 1)
    assert torch.get_num_threads() == before
