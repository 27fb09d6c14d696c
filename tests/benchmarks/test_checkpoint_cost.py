"""What checkpoints of the 14B are computed to hold, against files of the demo that were written."""

import pytest
import torch

from benchmarks.checkpoint_cost import demo_shape, large_shapes, latents_bytes, measure, rank_bytes, whole_bytes


@pytest.mark.parametrize(("dtype", "feature_bytes"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_computed_bytes_are_those_of_a_file(dtype, feature_bytes):
    full, latents = measure(1, dtype)
    shape = demo_shape(feature_bytes=feature_bytes)
    counters = 8000  # rounds and names, which do not grow with the video
    assert 0 <= full.num_bytes - rank_bytes(shape) < counters
    assert 0 <= latents.num_bytes - latents_bytes(shape) < counters
    assert min(full.write_seconds, full.restore_seconds, latents.write_seconds, latents.restore_seconds) > 0


def test_large_model_keeps_what_the_design_says():
    """14 rounds of two branches at 480p in bfloat16 are 9.4 GB, however many ranks share them."""
    shapes = large_shapes()
    one, eight = shapes["480p, one rank"], shapes["480p, cfg 2 × ulysses 4"]
    histories = 2 * 14 * 32_760 * 5120 * 2
    assert rank_bytes(one) == pytest.approx(histories, rel=0.02)
    assert whole_bytes(eight) == pytest.approx(whole_bytes(one), rel=0.03)
    assert rank_bytes(eight) == pytest.approx(rank_bytes(one) / 8, rel=0.03)
    assert latents_bytes(one) == latents_bytes(eight) < 0.04e9
