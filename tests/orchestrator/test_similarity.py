"""Likeness against closed forms."""

import numpy as np
import pytest

from orchestrator.similarity import IDENTICAL_DB, psnr, ssim

FRAMES = np.random.default_rng(0).integers(0, 200, (3, 32, 32, 3)).astype(np.uint8)


def test_equal_videos_are_as_alike_as_can_be():
    assert psnr(FRAMES, FRAMES) == IDENTICAL_DB
    assert ssim(FRAMES, FRAMES) == pytest.approx(1)


@pytest.mark.parametrize("by", [1, 5, 50])
def test_psnr_of_an_even_difference_is_its_closed_form(by):
    assert psnr(FRAMES, FRAMES + np.uint8(by)) == pytest.approx(20 * np.log10(255 / by))


def test_ssim_is_the_mean_over_the_frames():
    other = FRAMES.copy()
    other[1] = 255 - other[1]
    assert ssim(FRAMES, other) == pytest.approx((2 + ssim(FRAMES[1:2], other[1:2])) / 3)
