"""Plain reuse."""

import pytest
import torch

from spectrum import reuse_weights


@pytest.mark.parametrize("target", [5, 6, 49])
def test_all_weight_is_on_the_newest_snapshot_whatever_the_target(target):
    weights = reuse_weights([0, 1, 4], target)
    assert weights.tolist() == [0.0, 0.0, 1.0]
    assert weights.dtype == torch.float64


def test_a_single_snapshot_is_reused():
    assert reuse_weights([7], 8).tolist() == [1.0]


@pytest.mark.parametrize(("times", "message"), [([], "times is empty"), ([2, 1], r"times=\[2, 1\].*ascending")])
def test_bad_times_are_named(times, message):
    with pytest.raises(ValueError, match=message):
        reuse_weights(times, 5)
