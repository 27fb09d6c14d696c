"""Seconds of one video on one gang: as an earlier run measured them, or as the model of the hardware says."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from heapq import heapreplace

from orchestrator.cost_model import CostModel, VideoLoad
from orchestrator.measured_times import MeasuredRun
from orchestrator.reports import Stage
from parallel.layout import Layout, LayoutError
from parallel.render_case import Rounds
from parallel.render_time import Breakdown, predict
from spectrum import Features


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSeconds:
    """Seconds of one video by what a gang does."""

    rounds: Rounds
    text: float
    full_round: float
    forecast_round: float
    decode: float
    """0 where workers of their own decode."""
    other: float
    """Publishing, gathering latents, pauses between videos."""
    basis: str
    """What this rests on."""

    @property
    def total(self) -> float:
        """Of the video as it is asked for."""
        return self._of(self.rounds.num_full)

    @property
    def all_full(self) -> float:
        """The same with all rounds full."""
        return self._of(self.rounds.num_steps)

    @property
    def speedup(self) -> float:
        """How many times faster the video is than with all rounds full."""
        return self.all_full / self.total

    def _of(self, num_full: int) -> float:
        rounds = num_full * self.full_round + (self.rounds.num_steps - num_full) * self.forecast_round
        return self.text + rounds + self.decode + self.other

    def scaled(self, factor: float) -> "VideoSeconds":
        """All of it, slower by a factor."""
        names = ("text", "full_round", "forecast_round", "decode", "other")
        return replace(self, **{name: factor * getattr(self, name) for name in names})


def modelled_seconds(
    costs: CostModel, load: VideoLoad, layout: Layout, *, shard_blocks: bool, basis: str
) -> VideoSeconds:
    """From `parallel.render_time`; slices of unequal length are taken as equal ones, and their exchanges left out."""
    rounds = load.rounds
    all_full = replace(load, rounds=Rounds(num_steps=rounds.num_steps, num_full=rounds.num_steps))
    try:
        full, parts = (predict(costs.render(one, layout)) for one in (all_full, load))
        sharding = costs.seconds(all_full, layout, shard_blocks=shard_blocks) - costs.seconds(all_full, layout)
    except LayoutError:
        full, parts = (_split(predict(costs.render(one, Layout())), layout, costs) for one in (all_full, load))
        sharding, basis = 0.0, f"{basis}; slices of unequal length, whose exchanges are left out"
    full_round = (full.compute + full.wire + sharding) / rounds.num_steps
    forecasts = parts.forecast + max(parts.wire - full.wire * rounds.num_full / rounds.num_steps, 0.0)
    return VideoSeconds(
        rounds=rounds,
        text=parts.text,
        full_round=full_round,
        forecast_round=forecasts / rounds.num_forecast if rounds.num_forecast else 0.0,
        decode=0.0 if costs.has_decoders else parts.decode,
        other=parts.other,
        basis=basis,
    )


def _split(alone: Breakdown, layout: Layout, costs: CostModel) -> Breakdown:
    ranks = layout.world_size
    return replace(
        alone,
        matmul=alone.matmul / ranks,
        attention=alone.attention / ranks,
        forecast=alone.forecast / ranks,
        decode=alone.decode / (ranks if costs.decode_parallel else 1),
    )


def measured_seconds(
    like: MeasuredRun,
    load: VideoLoad,
    modelled: VideoSeconds,
    *,
    decode: tuple[bool, bool, bool],
    factor: float = 1.0,
) -> VideoSeconds | None:
    """From an earlier run; None where it has no such videos.

    Args:
        like: an earlier run's videos that were rendered under the same conditions.
        load: the video.
        modelled: stands for what was not measured, such as forecast rounds where there were none.
        decode: whether the gang decodes together, tile by tile, or workers do.
        factor: of all seconds, where ranks share cores differently.
    """
    full_round = like.mean_full_round() if like.videos else None
    if full_round is None:
        return None
    features = Features.VELOCITY if load.is_velocity else Features.HIDDEN
    forecast_round = like.mean_forecast_round(features)
    side_by_side = f" {like.side_by_side} at a time," if like.side_by_side > 1 else ""
    basis = f"{len(like.videos)} videos of {like.folder.name},{side_by_side} on {like.videos[0].host}: measured"
    if forecast_round is None and load.rounds.num_forecast:
        basis += f"; forecast rounds: {modelled.basis}"
        forecast_round = modelled.forecast_round * full_round / modelled.full_round
    decoded_alike = [video for video in like.videos if video.decode == decode]
    decoded = replace(like, videos=tuple(decoded_alike)).mean_stage(Stage.DECODE) if decoded_alike else None
    if decoded is None:
        basis += f"; decode: {modelled.basis}"
        decoded = modelled.decode
    by_worker = decode[2]
    other = like.gather_seconds() + like.pause_seconds + (0.0 if by_worker else like.mean_stage(Stage.PUBLISH))
    return VideoSeconds(
        rounds=load.rounds,
        text=like.mean_stage(Stage.ENCODE),
        full_round=full_round,
        forecast_round=forecast_round or 0.0,
        decode=0.0 if by_worker else decoded,
        other=other,
        basis=basis,
    ).scaled(factor)


def makespan(video_seconds: Iterable[tuple[float, int]], num_gangs: int) -> float:
    """Seconds until the last gang is done, each taking the next video as it comes free.

    Args:
        video_seconds: of one video, and how many such there are, in the order in which they are begun.
        num_gangs: that render side by side.
    """
    busy_until = [0.0] * num_gangs
    for seconds, count in video_seconds:
        for _ in range(count):
            heapreplace(busy_until, busy_until[0] + seconds)
    return max(busy_until)
