"""What is kept of a pair, and what is measured of real mp4s."""

import numpy as np
import pytest

from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.pair import compare, measure_pairs, publish_pairs, read_pair, read_pairs
from orchestrator.reference import Pair
from orchestrator.video_file import write_video

VIDEO, REFERENCE, FLOOR = ("0" * 15 + digit for digit in "123")
PAIR = Pair(video_id=VIDEO, reference=REFERENCE, noise_floor=FLOOR)
FRAMES = np.random.default_rng(0).integers(60, 180, (5, 2, 2, 3)).astype(np.uint8).repeat(16, 1).repeat(16, 2)


def finish(folder, frames) -> None:
    folder.root.mkdir(parents=True, exist_ok=True)
    write_video(folder.video, frames, fps=8)
    publish_json(folder.sidecar, {})


@pytest.fixture
def run_folder(tmp_path):
    run_folder = RunFolder(tmp_path)
    publish_pairs(run_folder, [PAIR])
    return run_folder


def test_pair_is_measured_once_all_is_there(run_folder):
    finish(run_folder.video(VIDEO), 255 - FRAMES)
    measure_pairs(run_folder)
    assert read_pair(run_folder, VIDEO).likeness is None
    finish(run_folder.reference(REFERENCE), FRAMES)
    measure_pairs(run_folder)
    half = read_pair(run_folder, VIDEO)
    assert half.likeness.psnr < 20 and half.floor is None and not half.is_whole
    finish(run_folder.reference(FLOOR), FRAMES)
    measure_pairs(run_folder)
    record = read_pair(run_folder, VIDEO)
    assert record.is_whole
    assert (record.floor.psnr, record.floor.ssim) == (100, pytest.approx(1)), "the same frames, the same bytes"


def test_what_was_measured_is_kept(run_folder):
    for folder in (run_folder.video(VIDEO), run_folder.reference(REFERENCE), run_folder.reference(FLOOR)):
        finish(folder, FRAMES)
    measure_pairs(run_folder)
    before = run_folder.pair(VIDEO).stat().st_mtime_ns
    measure_pairs(run_folder)
    publish_pairs(run_folder, [PAIR])
    assert run_folder.pair(VIDEO).stat().st_mtime_ns == before
    publish_pairs(run_folder, [Pair(video_id=VIDEO, reference=REFERENCE, noise_floor=None)])
    assert read_pair(run_folder, VIDEO).likeness is None, "another pair"


def test_reference_may_be_one_of_the_batch(run_folder):
    for video_id in (VIDEO, REFERENCE, FLOOR):
        finish(run_folder.video(video_id), FRAMES)
    measure_pairs(run_folder)
    assert read_pair(run_folder, VIDEO).is_whole


def test_videos_of_two_sizes_are_not_compared(run_folder, caplog):
    finish(run_folder.video(VIDEO), FRAMES[:, :16])
    finish(run_folder.reference(REFERENCE), FRAMES)
    measure_pairs(run_folder)
    assert read_pair(run_folder, VIDEO).likeness is None
    assert "another shape" in caplog.text
    with pytest.raises(ValueError, match="another shape"):
        compare(FRAMES, FRAMES[:2])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"reference": "../..", "noise_floor": null, "likeness": null, "floor": null}', "{}"]
)
def test_record_that_cannot_be_read_is_left_out(run_folder, caplog, text):
    run_folder.pair(VIDEO).write_text(text)
    assert read_pairs(run_folder) == {}
    assert "cannot be read" in caplog.text


def test_damaged_video_is_named_and_harms_nothing(run_folder, caplog):
    finish(run_folder.reference(REFERENCE), FRAMES)
    finish(run_folder.video(VIDEO), FRAMES)
    run_folder.video(VIDEO).video.write_bytes(b"no video")
    measure_pairs(run_folder)
    assert read_pair(run_folder, VIDEO).likeness is None
    assert str(run_folder.video(VIDEO).video) in caplog.text
