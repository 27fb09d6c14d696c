import numpy as np
import pytest

from tiny_wan.architecture import HEIGHT, NUM_FRAMES, WIDTH
from tiny_wan.dataset import HELD_OUT_SEED, MARGIN, TRAINING_SEED, draw_clip, draw_window
from tiny_wan.shapes import Window


def test_a_clip_is_a_function_of_seed_and_index():
    np.random.seed(0)
    first = draw_clip(TRAINING_SEED, 7)
    np.random.seed(1)
    draw_clip(TRAINING_SEED, 8)
    again = draw_clip(TRAINING_SEED, 7)
    assert first.spec == again.spec
    np.testing.assert_array_equal(first.frames(), again.frames())


def test_other_indices_and_other_seeds_give_other_clips():
    clips = [draw_clip(seed, index) for seed in (TRAINING_SEED, HELD_OUT_SEED) for index in range(50)]
    assert len({tuple(clip.track.x) + tuple(clip.track.y) for clip in clips}) == 100


def test_frames_have_the_size_and_range_of_the_model():
    frames = draw_clip(TRAINING_SEED, 0).frames()
    assert frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    assert frames.dtype == np.float32
    assert frames.min() >= 0.0
    assert frames.max() <= 1.0


@pytest.mark.parametrize("index", range(20))
def test_the_object_stays_inside_the_picture(index):
    alpha_FHW = draw_clip(TRAINING_SEED, index).alpha()
    margin = int(MARGIN) - 1
    border = np.ones((HEIGHT, WIDTH), dtype=bool)
    border[margin:-margin, margin:-margin] = False
    assert alpha_FHW[:, border].max() == 0.0
    assert alpha_FHW.sum(axis=(1, 2)).min() > 100.0


@pytest.mark.parametrize("index", range(10))
def test_a_window_is_the_crop_of_the_whole_clip_and_shows_the_outline(index):
    clip = draw_clip(TRAINING_SEED, index)
    window = draw_window(clip, 48, np.random.default_rng(index))
    assert window.top % 8 == window.left % 8 == 0
    part = clip.alpha(window)
    crop = clip.alpha()[:, window.top : window.top + 48, window.left : window.left + 48]
    np.testing.assert_allclose(part, crop, atol=1e-5)
    assert 0.0 < part.mean() < 1.0


def test_the_whole_picture_is_the_default_window():
    clip = draw_clip(TRAINING_SEED, 3)
    np.testing.assert_array_equal(clip.alpha(), clip.alpha(Window(side=HEIGHT)))
