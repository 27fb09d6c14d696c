"""The sum on the device: by definition, chunk by chunk, and as one compiled kernel."""

import pytest
import torch

from spectrum.weighted_sum import chunked_sum, fused_sum, weighted_sum

WEIGHTS = [0.5, 0.0, -1.25, 2.0]


def draw(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_sum_is_rounded_once(dtype):
    snapshots = draw(dtype, 4, 7, 11)
    exact = sum(weight * one.double() for weight, one in zip(WEIGHTS, snapshots, strict=True))
    total = weighted_sum(snapshots, WEIGHTS)
    assert total.dtype == dtype and total.shape == (7, 11)
    half_a_unit = torch.finfo(dtype).eps * 0.51 if dtype not in {torch.float32, torch.float64} else 1e-6
    assert ((total.double() - exact).abs() <= half_a_unit * exact.abs() + 1e-6).all()


def test_chunks_leave_no_seam(monkeypatch):
    snapshots = draw(torch.float32, 4, 1001)
    whole = chunked_sum(snapshots, WEIGHTS)
    monkeypatch.setattr("spectrum.weighted_sum._CHUNK", 64)
    assert torch.equal(chunked_sum(snapshots, WEIGHTS), whole)


def test_fused_kernel_equals_the_chunks_and_does_not_read_what_has_no_weight():
    """Compiled for the CPU here, for the GPU where there is one."""
    snapshots = draw(torch.bfloat16, 4, 3000)
    snapshots[1] = float("nan")
    fused = fused_sum()(snapshots, torch.tensor(WEIGHTS))
    torch.testing.assert_close(
        fused, chunked_sum(snapshots, WEIGHTS), rtol=torch.finfo(torch.bfloat16).eps, atol=1e-6
    )
    assert fused.isfinite().all()
