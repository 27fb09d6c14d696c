"""The sum on the device: by definition, chunk by chunk, and as one compiled kernel."""

from functools import partial
from math import prod

import pytest
import torch
from torch._dynamo.utils import counters

from spectrum import weighted_sum as module
from spectrum.weighted_sum import check_compiler, chunked_sum, fused_sum, weighted_sum

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


def test_fused_kernel_equals_the_chunks_and_what_has_no_weight_does_not_count():
    """Compiled for the CPU here, for the GPU where there is one."""
    snapshots = draw(torch.bfloat16, 4, 3000)
    snapshots[1] = float("nan")
    fused = fused_sum(snapshots, WEIGHTS)
    torch.testing.assert_close(
        fused, chunked_sum(snapshots, WEIGHTS), rtol=torch.finfo(torch.bfloat16).eps, atol=1e-6
    )
    assert fused.isfinite().all()


@pytest.fixture
def compile_with(monkeypatch):
    """`compile_with(backend)`: the kernel made anew by another backend."""

    def choose(backend):
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
        module._kernel.cache_clear()

    yield choose
    module._kernel.cache_clear()


def test_kernels_are_as_few_as_numbers_of_snapshots_and_never_replaced(compile_with):
    """By a backend that compiles nothing: it is dynamo that counts and would give up."""
    compile_with("eager")
    shapes = [(2, 3 * one, 16) for one in range(1, 11)] + [(7, 2 * one + 1, 3) for one in range(1, 11)]
    before = counters["stats"]["unique_graphs"]
    for num_snapshots in range(1, 15):
        for shape in shapes:
            snapshots = draw(torch.float32, num_snapshots, *shape)
            weights = draw(torch.float32, num_snapshots).tolist()
            torch.testing.assert_close(fused_sum(snapshots, weights), chunked_sum(snapshots, weights))
    assert counters["stats"]["unique_graphs"] - before == 2 * 14  # rows of 16 elements and others, each K


def test_kernel_of_a_slice_gives_the_slice_bit_for_bit():
    for shape in [(40, 32), (33, 5), (1, 7)]:
        whole = draw(torch.bfloat16, 4, *shape)
        total = fused_sum(whole, WEIGHTS)
        assert total.shape == shape
        for end in {1, shape[0] // 2 + 1, shape[0]}:
            part = fused_sum(whole[:, :end].contiguous(), WEIGHTS)
            assert torch.equal(part, total[:end]), f"{prod(part.shape)} of {prod(shape)} elements"


def test_kernel_adds_doubles_up_with_doubles_as_weights(compile_with):
    compile_with("eager")
    snapshots, weights = draw(torch.float64, 3, 50), [1 / 3, -1 / 7, 0.1]
    exact = sum(weight * one for weight, one in zip(weights, snapshots, strict=True))
    torch.testing.assert_close(fused_sum(snapshots, weights), exact, rtol=1e-14, atol=1e-14)


def test_a_missing_compiler_is_said_in_one_line(monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(module, "compile_sum", fail)
    check_compiler(torch.device("cpu"))  # where nothing is compiled
    monkeypatch.setattr(torch, "zeros", lambda *_arguments, **_device: None)
    with pytest.raises(RuntimeError, match=r"install triton and gcc.*method=none: Failed to find C compiler"):
        check_compiler(torch.device("cuda"))
