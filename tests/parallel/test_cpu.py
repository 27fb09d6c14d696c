"""What is put right for machines without a GPU, and only as long as it is needed."""

import pytest
import torch

from parallel.cpu import one_accelerator

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
