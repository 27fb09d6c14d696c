"""What is put right for machines without a GPU, and only as long as it is needed."""

import subprocess
import sys

import pytest
import torch

from parallel.cpu import attention_with_lse, one_accelerator

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")


def test_one_accelerator_is_counted_inside_and_none_outside():
    counted = torch.accelerator.device_count
    with one_accelerator():
        assert torch.accelerator.device_count() == 1
    assert torch.accelerator.device_count is counted
    assert torch.accelerator.device_count() == 0


def test_true_count_comes_back_after_a_failure():
    counted = torch.accelerator.device_count
    with pytest.raises(RuntimeError, match="in between"), one_accelerator():
        raise RuntimeError("in between")
    assert torch.accelerator.device_count is counted


def test_attention_and_its_log_sum_exp_are_those_of_the_definition():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, tokens, 3, 8, generator=generator) for tokens in (5, 7, 7))
    output, lse = attention_with_lse(query, key, value)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / 8**0.5
    torch.testing.assert_close(lse, scores.logsumexp(-1).transpose(1, 2))
    torch.testing.assert_close(output, torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value))


def test_xfuser_is_imported_without_an_accelerator_and_can_attend(command_environment):
    """In a process of its own: an import leaves its mark on all tests after it."""
    program = """
from parallel.cpu import import_xfuser, let_xfuser_attend
package = import_xfuser()
assert import_xfuser() is package
assert let_xfuser_attend() == "SDPA_FLASH"
from xfuser.core.distributed.attention_backend import ATTENTION_FUNCTION_REGISTRY, AttentionBackendType
import torch
query = torch.randn(1, 2, 5, 8)
output, lse = ATTENTION_FUNCTION_REGISTRY[AttentionBackendType.SDPA_FLASH](query, query, query, 0.0, False)
torch.testing.assert_close(output, torch.nn.functional.scaled_dot_product_attention(query, query, query))
print(*lse.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["1", "2", "5"]
