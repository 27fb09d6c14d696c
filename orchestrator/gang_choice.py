"""How many gangs a cluster is used as, and how large: for the least time of a video, or for the most videos an hour.

A pure function of what there is, what is to be rendered and the cost model; nothing is asked of a cluster here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from orchestrator.cost_model import CostModel, VideoLoad
from orchestrator.errors import BadInput
from orchestrator.room import Room, most_gangs
from parallel.layout import MAX_DEGREE, Layout, reasons_against, splits_evenly


class Objective(StrEnum):
    """What gangs are sized for."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, kw_only=True, slots=True)
class GangChoice:
    """Gangs, and what is predicted of them."""

    num_gangs: int
    layout: Layout
    shard_blocks: bool
    video_seconds: float
    """Mean over the videos, of one on one gang."""
    videos_per_hour: float
    """Of the whole batch on all gangs; the last videos leave gangs idle."""
    because: str
    """Why, for people."""

    @property
    def explanation(self) -> str:
        """One line, for people: the gangs and why."""
        return f"{describe_gangs(self.num_gangs, self.layout)}, {self.because}"


def describe_gangs(num_gangs: int, layout: Layout) -> str:
    """For people: "4 gangs of 2 ranks (ulysses 2)", "1 gang of one rank"."""
    ranks = f"{layout.world_size} ranks ({layout})" if layout.world_size > 1 else "one rank"
    return f"{num_gangs} gang{'s' if num_gangs > 1 else ''} of {ranks}"


def choose_gangs(
    room: Room,
    loads: Sequence[VideoLoad],
    costs: CostModel,
    *,
    objective: Objective,
    num_gangs: int | None = None,
    num_videos: int | None = None,
    shard_blocks: bool = False,
) -> GangChoice:
    """The best gangs among the layouts that every video can have with slices of equal length.

    Blocks are sharded where they were asked to be, or else where no gang at all could hold them whole.

    Args:
        room: what the cluster has for ranks.
        loads: all videos of the batch that are to be rendered, not empty.
        costs: of the model on the cluster's ranks.
        objective: what is best.
        num_gangs: as asked for; None: as many as fit, but no more than there are videos.
        num_videos: how many are to be rendered, if not all of `loads`, as in a shard.
        shard_blocks: whether blocks are sharded whatever their size.

    Raises:
        BadInput: there is no room for the gangs, or none of them would hold a video in its memory.
    """
    num_videos = max(sum(load.count for load in loads) if num_videos is None else num_videos, 1)
    batch = _Batch(room=room, loads=loads, costs=costs, num_gangs=num_gangs, num_videos=num_videos)
    candidates = [batch.on(layout, shard_blocks=shard_blocks) for layout in _layouts(room, loads, costs)]
    fitting = [one for one in candidates if one.has_room]
    if not fitting:
        raise BadInput(f"cluster.num_gangs={num_gangs or 1}: the cluster has room for {room.num_ranks} ranks")
    held = [one for one in fitting if one.fits]
    if not held:
        sharded = [batch.on(one.layout, shard_blocks=True) for one in fitting if one.layout.world_size > 1]
        held = [one for one in sharded if one.fits]
    if not held:
        raise BadInput(
            f"job.objective={objective}: no gang on {room.num_ranks} ranks would hold such a video, with "
            f"{costs.chip.capacity_bytes / 1e9:.0f} GB a GPU ({costs.chip.name}) and blocks sharded; take smaller "
            "videos, forecast.features=velocity or decode.tiling=true"
        )
    best = min(held, key=lambda one: one.rank_by(objective))
    other = min(held, key=lambda one: one.rank_by(_other(objective)))
    return GangChoice(
        num_gangs=best.num_gangs,
        layout=best.layout,
        shard_blocks=best.shard_blocks,
        video_seconds=best.video_seconds,
        videos_per_hour=best.videos_per_hour,
        because=_explain(best, other, objective, costs, smallest_fits=held[0].layout == fitting[0].layout),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A layout, and how the batch would go with it."""

    layout: Layout
    shard_blocks: bool
    num_gangs: int
    has_room: bool
    fits: bool
    """Whether there is room, and memory for every video."""
    video_seconds: float
    videos_per_hour: float

    def rank_by(self, objective: Objective) -> tuple[float, float, int]:
        """Smaller is better."""
        figures = (self.video_seconds, -self.videos_per_hour)
        first, second = figures if objective is Objective.LATENCY else reversed(figures)
        return first, second, self.layout.world_size


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """What is to be rendered, and on what."""

    room: Room
    loads: Sequence[VideoLoad]
    costs: CostModel
    num_gangs: int | None
    num_videos: int

    def on(self, layout: Layout, *, shard_blocks: bool) -> _Candidate:
        """How the batch would go with this layout."""
        shard_blocks = shard_blocks and layout.world_size > 1
        num_gangs = self.num_gangs or most_gangs(self.room, layout.world_size, num_videos=self.num_videos)
        has_room = 0 < num_gangs <= self.room.gangs_that_fit(layout.world_size)
        seconds = self.costs.mean_seconds(self.loads, layout, shard_blocks=shard_blocks)
        # The last of the batch counts: four videos on eight GPUs are done sooner by four gangs of two.
        batch_seconds = ceil(self.num_videos / max(num_gangs, 1)) * seconds
        return _Candidate(
            layout=layout,
            shard_blocks=shard_blocks,
            num_gangs=num_gangs,
            has_room=has_room,
            fits=has_room and all(self.costs.fits(load, layout, shard_blocks=shard_blocks) for load in self.loads),
            video_seconds=seconds,
            videos_per_hour=3600 * self.num_videos / batch_seconds,
        )


def _layouts(room: Room, loads: Sequence[VideoLoad], costs: CostModel) -> Iterator[Layout]:
    """What fits every video with slices of equal length, Ulysses within a node; the smallest first."""
    problems = {costs.problem(load) for load in loads}
    node = room.ranks_per_node
    most = min(room.num_ranks, MAX_DEGREE)
    degrees = [degree for degree in range(1, min(node, most) + 1) if costs.model.num_heads % degree == 0]
    layouts = [
        Layout(cfg=cfg, ring=ring, ulysses=ulysses)
        for cfg in (1, 2)
        for ulysses in degrees
        for ring in range(1, most // (cfg * ulysses) + 1)
    ]
    for layout in sorted(layouts, key=lambda one: (one.world_size, one.ring, one.ulysses)):
        within_node = layout.world_size <= node or node % layout.ulysses == 0
        possible = all(
            splits_evenly(layout, problem) and not reasons_against(layout, problem) for problem in problems
        )
        if within_node and possible:
            yield layout


def _other(objective: Objective) -> Objective:
    return Objective.LATENCY if objective is Objective.THROUGHPUT else Objective.THROUGHPUT


def _explain(
    best: _Candidate, other: _Candidate, objective: Objective, costs: CostModel, *, smallest_fits: bool
) -> str:
    """Why, and what the other objective would have given."""
    line = f"for {objective}: {_figure(best, objective)} predicted"
    if other.layout != best.layout:
        line += f", against {_figure(other, objective)} with {describe_gangs(other.num_gangs, other.layout)}"
    notes = []
    if best.shard_blocks:
        notes.append("blocks sharded")
    if not smallest_fits:
        notes.append(f"smaller gangs do not fit the {costs.chip.capacity_bytes / 1e9:.0f} GB of a GPU")
    notes.append(f"figures of {costs.chip.name}{', assumed' if costs.is_assumed else ''}")
    return f"{line} ({'; '.join(notes)})"


def _figure(one: _Candidate, objective: Objective) -> str:
    value = one.video_seconds if objective is Objective.LATENCY else one.videos_per_hour
    unit = "s a video" if objective is Objective.LATENCY else "videos an hour"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
