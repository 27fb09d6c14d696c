import numpy as np
import pytest

from tiny_wan.dataset import HELD_OUT_SEED, draw_clip
from tiny_wan.evaluate import average_marks
from tiny_wan.scorer import read, score

CLIPS = [draw_clip(HELD_OUT_SEED, index) for index in range(120)]
CAPTIONS = [clip.spec.caption for clip in CLIPS]


@pytest.fixture(scope="module")
def videos():
    return [(255.0 * clip.frames()).round().astype(np.uint8) for clip in CLIPS]


def test_true_clips_get_full_marks(videos):
    assert min(average_marks(videos, CAPTIONS).values()) >= 0.99


def test_shuffled_captions_fall_to_chance(videos):
    marks = average_marks(videos, CAPTIONS[1:] + CAPTIONS[:1])
    assert marks["colour"] < 0.25  # 1 of 8
    assert marks["background"] < 0.27  # 1 of 7
    assert marks["motion"] < 0.27  # 1 of 7
    assert marks["shape"] < 0.35  # 1 of 5
    assert marks["everything"] < 0.05


def test_blur_and_noise_do_not_change_the_reading(videos):
    rng = np.random.default_rng(0)
    for video, caption in zip(videos[:30], CAPTIONS, strict=False):
        noisy = np.clip(video / 255.0 + rng.normal(0.0, 0.03, video.shape), 0.0, 1.0)
        blurred = (noisy + np.roll(noisy, 1, axis=1) + np.roll(noisy, 1, axis=2)) / 3.0
        assert score(blurred, caption).everything, caption


def test_floating_point_frames_read_like_bytes(videos):
    assert read(videos[0]) == read(videos[0].astype(np.float32) / 255.0)


def test_reversing_a_clip_reverses_its_motion(videos):
    opposite = {"moving left": "moving right", "growing": "shrinking", "moving up": "moving down"}
    opposite |= {after: before for before, after in opposite.items()} | {"standing still": "standing still"}
    for video, clip in zip(videos[:30], CLIPS, strict=False):
        assert read(video[::-1]).motion == opposite[clip.spec.motion]


def test_an_empty_picture_shows_a_background_and_nothing_else():
    reading = read(np.full((17, 96, 96, 3), 12, dtype=np.uint8))
    assert reading.background == "black"
    assert (reading.colour, reading.shape, reading.motion, reading.size) == (None, None, None, None)


def test_pure_noise_is_read_without_failing():
    read(np.random.default_rng(0).random((17, 96, 96, 3)))


@pytest.mark.parametrize("shape", [(96, 96, 3), (17, 96, 96), (17, 3, 96, 96)])
def test_frames_of_another_layout_are_refused(shape):
    with pytest.raises(ValueError, match="frames must be"):
        read(np.zeros(shape, dtype=np.uint8))
