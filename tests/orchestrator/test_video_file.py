"""The mp4, read back by a decoder and by eye of a parser."""

import os
import resource
import struct
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from orchestrator.video_file import write_video


def moving_square(num_frames=17, height=96, width=96) -> np.ndarray:
    frames = np.full((num_frames, height, width, 3), 40, np.uint8)
    for index in range(num_frames):
        left = index * (width - 16) // max(num_frames - 1, 1)
        frames[index, height // 4 : height // 2, left : left + 16] = (220, 60, 30)
    return frames


def boxes(content: bytes) -> list[str]:
    """Names of the top-level boxes of an mp4, in order."""
    names, position = [], 0
    while position < len(content):
        size, name = struct.unpack(">I4s", content[position : position + 8])
        names.append(name.decode())
        position += size
    return names


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, np.ndarray]:
    path, frames = tmp_path_factory.mktemp("video") / "video.mp4", moving_square()
    write_video(path, frames, fps=8)
    return path, frames


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_file_that_the_encoder_could_not_bring_to_its_end_is_refused(written, tmp_path, share):
    """It does not say so itself; here a limit on the size of files stops it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * written[0].stat().st_size), hard))
    try:
        with pytest.raises(OSError):
            write_video(tmp_path / "video.mp4", written[1], fps=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_video_has_the_frames_rate_size_and_format(written):
    path, frames = written
    metadata = imageio.immeta(path, plugin="FFMPEG")
    assert metadata["codec"] == "h264"
    assert metadata["pix_fmt"].startswith("yuv420p")
    assert metadata["fps"] == 8
    assert metadata["size"] == (96, 96)
    assert metadata["duration"] == pytest.approx(len(frames) / 8, abs=0.01)
    assert imageio.imread(path, plugin="FFMPEG").shape == frames.shape


def test_frames_come_back_nearly_as_they_were(written):
    path, frames = written
    decoded = imageio.imread(path, plugin="FFMPEG").astype(float)
    assert np.abs(decoded - frames).mean() < 4
    # Each frame is nearest to its own original: none is missing, doubled or out of order.
    distances = np.abs(decoded[:, None] - frames[None].astype(float)).mean(axis=(2, 3, 4))
    assert distances.argmin(axis=1).tolist() == list(range(len(frames)))


def test_index_stands_in_front_of_the_pictures(written):
    """So that a browser can begin before the end is there."""
    names = boxes(written[0].read_bytes())
    assert names.index("moov") < names.index("mdat")


def test_same_frames_give_the_same_bytes(written, tmp_path):
    path, frames = written
    write_video(tmp_path / "again.mp4", frames, fps=8)
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()


def test_number_of_cores_does_not_change_the_bytes(tmp_path):
    cores = os.sched_getaffinity(0)
    if len(cores) == 1:
        pytest.skip("needs two cores")
    frames = moving_square(9, 256, 256)
    try:
        write_video(tmp_path / "all.mp4", frames, fps=8)
        os.sched_setaffinity(0, {min(cores)})
        write_video(tmp_path / "one.mp4", frames, fps=8)
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "all.mp4").read_bytes()


def test_other_frames_or_rates_give_other_bytes(written, tmp_path):
    path, frames = written
    changed = frames.copy()
    changed[5] = 255 - changed[5]
    write_video(tmp_path / "frames.mp4", changed, fps=8)
    write_video(tmp_path / "rate.mp4", frames, fps=16)
    contents = {file.read_bytes() for file in (path, tmp_path / "frames.mp4", tmp_path / "rate.mp4")}
    assert len(contents) == 3


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "fps"), [(1, 32, 32, 8), (5, 64, 112, 16), (5, 16, 16, 1), (3, 96, 32, 240)]
)
def test_other_sizes_and_rates(tmp_path, num_frames, height, width, fps):
    path = tmp_path / "video.mp4"
    write_video(path, moving_square(num_frames, height, width), fps=fps)
    metadata = imageio.immeta(path, plugin="FFMPEG")
    assert metadata["size"] == (width, height)
    assert metadata["fps"] == fps
    assert imageio.imread(path, plugin="FFMPEG").shape == (num_frames, height, width, 3)
