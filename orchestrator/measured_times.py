"""What the records of an earlier run say of seconds and memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from orchestrator.artifacts import RunFolder
from orchestrator.reports import Stage
from parallel.hardware import Chip, chip_called
from parallel.layout import Layout
from spectrum import Features, Round


class Condition(NamedTuple):
    """What has to be the same for a video to take as long as another."""

    fingerprint: str
    """Of the model."""
    dtype: str
    height: int
    width: int
    num_frames: int
    is_guided: bool
    layout: Layout
    shards_blocks: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredVideo:
    """One finished video that was rendered in one go."""

    condition: Condition
    model: str
    """Its name."""
    device: str
    host: str
    features: str
    """What was forecast."""
    decode: tuple[bool, bool, bool]
    """Whether all ranks decoded together, tile by tile, or a worker did."""
    full_seconds: tuple[float, ...]
    forecast_seconds: tuple[float, ...]
    stages: dict[str, float]
    finished: datetime
    peak_memory_bytes: int

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.stages.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredRun:
    """The videos of a run that can be learned from."""

    folder: Path
    videos: tuple[MeasuredVideo, ...]
    began: datetime | None
    """When the process of its only launch began; None where that is not known."""

    def like(self, condition: Condition) -> "MeasuredRun":
        """Only the videos that were rendered under this condition."""
        chosen = tuple(video for video in self.videos if video.condition == condition)
        return MeasuredRun(folder=self.folder, videos=chosen, began=self.began)

    def on(self, chip: Chip) -> "MeasuredRun":
        """Only the videos that were rendered on such a device."""
        gpu = chip_called(chip.name)
        chosen = tuple(
            one for one in self.videos if (one.device == "cpu") is (gpu is None) and chip_called(one.device) == gpu
        )
        return MeasuredRun(folder=self.folder, videos=chosen, began=self.began)

    @property
    def devices(self) -> list[str]:
        """What the videos were rendered on, each once."""
        return list(dict.fromkeys(video.device for video in self.videos))

    @property
    def span(self) -> float:
        """Seconds from the beginning of the first video to the end of the last; at least those of one video."""
        begins = [video.finished.timestamp() - video.total for video in self.videos]
        ends = [video.finished.timestamp() for video in self.videos]
        return max(max(ends) - min(begins), *(video.total for video in self.videos))

    @property
    def side_by_side(self) -> int:
        """Videos that were rendered at the same time, on average."""
        return max(round(sum(video.total for video in self.videos) / self.span), 1)

    @property
    def start_seconds(self) -> float | None:
        """From the launch's beginning to that of its first video; None where it is not known."""
        if self.began is None or not self.videos:
            return None
        first = min(video.finished.timestamp() - video.total for video in self.videos)
        return max(first - self.began.timestamp(), 0.0)

    @property
    def pause_seconds(self) -> float:
        """Between two videos of a gang; 0 where several gangs make it hard to tell."""
        if len(self.videos) < 2 or self.side_by_side > 1:
            return 0.0
        idle = self.span - sum(video.total for video in self.videos)
        pause = max(idle / (len(self.videos) - 1), 0.0)
        return pause if pause < fmean(video.total for video in self.videos) else 0.0  # two launches, not one

    def mean_stage(self, stage: Stage) -> float:
        """Seconds of a stage."""
        return fmean(video.stages.get(stage.value, 0.0) for video in self.videos)

    def mean_full_round(self) -> float | None:
        """Seconds of a full round."""
        return _mean([seconds for video in self.videos for seconds in video.full_seconds])

    def mean_forecast_round(self, features: Features) -> float | None:
        """Seconds of a forecast round of these features, or of any where there are none of these."""
        same = [video for video in self.videos if video.features == features] or self.videos
        return _mean([seconds for video in same for seconds in video.forecast_seconds])

    def gather_seconds(self) -> float:
        """Of denoising, beside its rounds."""
        return fmean(
            max(video.stages.get(Stage.DENOISE, 0.0) - sum(video.full_seconds + video.forecast_seconds), 0.0)
            for video in self.videos
        )


def read_measured(folder: Path) -> MeasuredRun | None:
    """The videos of a run that were rendered in one go; None where there are none."""
    run = RunFolder(folder)
    videos = []
    for video_id in sorted(run.video_ids()):
        one = run.video(video_id)
        if one.is_done:
            try:
                record = one.read_sidecar()
                if not record["resumed"]:
                    videos.append(_measured(record))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # written by another version, or damaged: others can be learned from
    if not videos:
        return None
    return MeasuredRun(folder=folder, videos=tuple(videos), began=_began(run, videos))


def _measured(record: dict[str, Any]) -> MeasuredVideo:
    request, layout, decode, model = (record[name] for name in ("request", "layout", "decode", "model"))
    rounds = list(zip(record["plan"], record["seconds"]["rounds"], strict=True))
    return MeasuredVideo(
        condition=Condition(
            fingerprint=model["fingerprint"],
            dtype=model["dtype"],
            height=request["height"],
            width=request["width"],
            num_frames=request["num_frames"],
            is_guided=request["guidance_scale"] > 1,
            layout=Layout(cfg=layout["cfg"], ring=layout["ring"], ulysses=layout["ulysses"]),
            shards_blocks=layout["shard_blocks"],
        ),
        model=model["name"],
        device=record["device"],
        host=record["provenance"]["host"],
        features=request["forecast"]["features"],
        decode=(decode["parallel"], decode["tiling"], decode["worker"]),
        full_seconds=tuple(seconds for kind, seconds in rounds if kind == Round.FULL),
        forecast_seconds=tuple(seconds for kind, seconds in rounds if kind != Round.FULL),
        stages={name: float(seconds) for name, seconds in record["seconds"]["stages"].items()},
        finished=datetime.fromisoformat(record["provenance"]["finished"]),
        peak_memory_bytes=record["peak_memory_bytes"],
    )


def _began(run: RunFolder, videos: Sequence[MeasuredVideo]) -> datetime | None:
    """Of a run with one launch, which rendered all its videos."""
    files = list(run.launches.glob("*.jsonl"))
    if len(files) != 1:
        return None
    try:
        with files[0].open(encoding="utf-8") as file:
            began = datetime.fromisoformat(json.loads(file.readline())["process_began"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return began if all(video.finished.timestamp() - video.total > began.timestamp() for video in videos) else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
