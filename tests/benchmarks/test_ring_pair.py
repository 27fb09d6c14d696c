"""A pair of ranks renders what one process does, but for rounding."""

from dataclasses import replace

import pytest
import torch

from benchmarks.demo_model import REQUEST, DemoModel
from benchmarks.ring_pair import RingPair
from orchestrator.similarity import psnr

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_pair_renders_one_request_after_another():
    requests = [
        replace(REQUEST, prompt=f"a large {colour} circle growing on a grey background", num_steps=4)
        for colour in ("red", "blue")
    ]
    model, pair = DemoModel(), RingPair(torch.float32)
    try:
        rendered = [pair.render(request).frames for request in requests]
    finally:
        pair.close()
    for request, frames in zip(requests, rendered, strict=True):
        assert psnr(model.render(request).frames, frames) > 60
    assert psnr(*rendered) < 40
    assert not any(process.is_alive() for process in pair._processes)
