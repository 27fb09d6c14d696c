"""How alike a video and its reference are, measured once both are there, and kept beside them.

What is measured are the frames of the mp4s, as a viewer sees them: their compression is part of every figure, that of
the noise floor among them.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from orchestrator.artifacts import RunFolder, VideoFolder, publish_json
from orchestrator.reference import Pair
from orchestrator.similarity import psnr, ssim

log = logging.getLogger("orchestrator")


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How alike two videos are."""

    psnr: float
    """Decibels, over all frames together; 100 where there is no difference."""
    ssim: float
    """Mean over the frames; 1 where there is no difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRecord:
    """A pair and what was measured of it so far."""

    pair: Pair
    likeness: Likeness | None = None
    """Of the video and its reference."""
    floor: Likeness | None = None
    """Of the reference and the same from rounded noise."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to measure."""
        return self.likeness is not None and (self.floor is not None or self.pair.noise_floor is None)


def publish_pairs(run_folder: RunFolder, pairs: Iterable[Pair]) -> None:
    """Write down what is compared with what, and keep what was measured before of the same pairs."""
    for pair in pairs:
        before = read_pair(run_folder, pair.video_id)
        if before is None or before.pair != pair:
            _publish(run_folder, PairRecord(pair=pair))


def read_pairs(run_folder: RunFolder) -> dict[str, PairRecord]:
    """Every pair of the run by the id of the batch's video; one that cannot be read is left out, with a warning."""
    found = {video_id: read_pair(run_folder, video_id) for video_id in run_folder.paired_ids()}
    return {video_id: record for video_id, record in found.items() if record is not None}


def read_pair(run_folder: RunFolder, video_id: str) -> PairRecord | None:
    """The record of a video's pair; None where there is none."""
    path = run_folder.pair(video_id)
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        pair = Pair(video_id=video_id, reference=said["reference"], noise_floor=said["noise_floor"])
        for one in (pair.reference, pair.noise_floor or pair.reference):
            run_folder.video(one)  # an id, and no way out of the folder
        return PairRecord(pair=pair, likeness=_likeness(said["likeness"]), floor=_likeness(said["floor"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read: %s; delete it, and launch again", path, error)
        return None


def folder_of(run_folder: RunFolder, video_id: str) -> VideoFolder:
    """Where a reference is: apart, or among the batch's videos if the batch asks for the same."""
    apart = run_folder.reference(video_id)
    return apart if apart.is_done else run_folder.video(video_id)


def measure_pairs(run_folder: RunFolder) -> None:
    """Measure what is there and was not measured yet, pair by pair."""
    for record in read_pairs(run_folder).values():
        if not record.is_whole:
            _measure(run_folder, record)


def _measure(run_folder: RunFolder, record: PairRecord) -> None:
    pair = record.pair
    video, reference = run_folder.video(pair.video_id), folder_of(run_folder, pair.reference)
    floor = None if pair.noise_floor is None else folder_of(run_folder, pair.noise_floor)
    if not reference.is_done:
        return
    likeness, floor_likeness = record.likeness, record.floor
    try:
        frames = _frames(reference.video)
        if likeness is None and video.is_done:
            likeness = compare(frames, _frames(video.video))
        if floor_likeness is None and floor is not None and floor.is_done:
            floor_likeness = compare(frames, _frames(floor.video))
    except (OSError, ValueError) as error:  # of another size, or damaged: what is left of the run is worth showing
        log.warning("%s cannot be compared with %s: %s", video.video, reference.video, error)
        return
    measured = PairRecord(pair=pair, likeness=likeness, floor=floor_likeness)
    if measured != record:
        _publish(run_folder, measured)


def compare(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> Likeness:
    """How alike two videos are, arrays of (frames, height, width, 3).

    Raises:
        ValueError: their shapes differ.
    """
    if reference.shape != other.shape:
        raise ValueError(f"{other.shape} is another shape than {reference.shape}")
    return Likeness(psnr=psnr(reference, other), ssim=ssim(reference, other))


def _frames(path: Path) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = imageio.imread(path, plugin="FFMPEG")
    return frames


def _publish(run_folder: RunFolder, record: PairRecord) -> None:
    publish_json(
        run_folder.pair(record.pair.video_id),
        {
            "reference": record.pair.reference,
            "noise_floor": record.pair.noise_floor,
            "likeness": record.likeness and asdict(record.likeness),
            "floor": record.floor and asdict(record.floor),
        },
    )


def _likeness(said: dict[str, float] | None) -> Likeness | None:
    return None if said is None else Likeness(psnr=float(said["psnr"]), ssim=float(said["ssim"]))
