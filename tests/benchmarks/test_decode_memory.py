"""The count of a decode's memory: against real tensors, and as the ways to decode promise."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKLWan

from benchmarks.decode_memory import AliveBytes, Decode, peak_bytes

SMALL = Decode(height=32, width=32, num_frames=9, dtype=torch.float32)


def test_tensors_that_are_alive_are_counted_and_freed_ones_are_not():
    with AliveBytes() as alive:
        first = torch.empty(1000, dtype=torch.float32)
        view = first.view(10, 100)
        assert alive.alive == 4000
        second = torch.empty(500, dtype=torch.float32)
        del first, view
        assert alive.alive == 2000
        del second
    assert alive.peak == 6000


def test_what_lies_beside_is_not_counted_whatever_looks_at_it():
    weight = torch.empty(10, 10)
    with AliveBytes(beside=[weight]) as alive:
        weight.t()
        assert alive.alive == 0


@torch.no_grad()
def test_fake_tensors_count_as_real_ones_do():
    vae = AutoencoderKLWan().eval().requires_grad_(False)
    latents = torch.zeros(1, 16, 3, 4, 4)
    with AliveBytes(beside=vae.parameters()) as alive:
        vae.decode(latents, return_dict=False)
    _, peak = peak_bytes(SMALL)
    assert peak == pytest.approx(alive.peak, rel=0.02)


def test_bands_tiles_and_half_precision_take_less():
    large = replace(SMALL, height=512, width=512, num_frames=5)
    _, whole = peak_bytes(large)
    assert peak_bytes(replace(large, num_ranks=4))[1] < whole / 3
    assert peak_bytes(replace(large, tiling=True))[1] < whole / 2
    assert peak_bytes(replace(large, dtype=torch.bfloat16))[1] < 0.6 * whole


def test_memory_does_not_grow_with_the_frames_but_for_the_result():
    short, long = (replace(SMALL, num_frames=frames) for frames in (9, 33))
    result_bytes = 3 * 32 * 32 * 4
    grown = peak_bytes(long)[1] - peak_bytes(short)[1]
    assert grown <= 2 * (33 - 9) * result_bytes
