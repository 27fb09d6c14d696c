"""Latents become the frames that WanPipeline makes."""

import numpy as np
import pytest
import torch

from orchestrator.decode import decode_latents


@pytest.mark.parametrize("size", [(17, 96, 96), (5, 64, 112), (1, 32, 32)])
def test_frames_are_the_pipelines_rounded_to_bytes(pipe, render_stock, make_request, size):
    num_frames, height, width = size
    request = make_request(num_frames=num_frames, height=height, width=width, num_steps=3)
    frames = decode_latents(pipe.vae, render_stock(request))
    expected = render_stock(request, output_type="np")[0]
    assert frames.dtype == np.uint8
    assert frames.shape == (num_frames, height, width, 3)
    assert np.array_equal(frames, (expected * 255).round().astype(np.uint8))


def test_mean_and_deviation_of_the_latents_are_put_back(pipe):
    latents = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    means = [0.1 * channel for channel in range(16)]
    scaled = 2.0 * latents + torch.tensor(means).view(1, 16, 1, 1, 1)
    own = {name: pipe.vae.config[name] for name in ("latents_mean", "latents_std")}
    try:
        pipe.vae.register_to_config(latents_mean=[0.0] * 16, latents_std=[1.0] * 16)
        expected = decode_latents(pipe.vae, scaled).astype(int)
        unscaled = decode_latents(pipe.vae, latents)
        pipe.vae.register_to_config(latents_mean=means, latents_std=[2.0] * 16)
        put_back = decode_latents(pipe.vae, latents)
    finally:
        pipe.vae.register_to_config(**own)
    assert np.abs(put_back - expected).max() <= 1
    assert np.abs(unscaled - expected).max() > 1
