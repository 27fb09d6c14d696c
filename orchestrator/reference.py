"""Videos that are rendered for comparison: some of the batch with all rounds full, and these with other rounding.

Each is a video of its own, named by the content of its request, but none of the batch: it stands in another folder
and is counted apart. What is compared with what is written down for each pair; `pair.py` measures how alike they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.batch import BatchEntry, Shard
from orchestrator.config import QualityConfig
from orchestrator.errors import BadInput
from orchestrator.request import Request, video_id
from orchestrator.role import Role
from spectrum import ForecastSettings, Method


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A video of the batch and what it is compared with."""

    video_id: str
    reference: str
    """The same with all rounds full."""
    noise_floor: str | None
    """The same again, from rounded noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class References:
    """What a launch renders for comparison."""

    entries: dict[str, BatchEntry] = field(default_factory=dict)
    """By video id; without what the batch itself renders."""
    pairs: tuple[Pair, ...] = ()


def plan_references(
    batch: Mapping[str, BatchEntry], shard: Shard, config: QualityConfig, *, model_fingerprint: str, dtype: str
) -> References:
    """Choose videos of the whole batch, and name what this shard renders to compare them with.

    They come after every video of the batch. Which ones they are does not depend on the shard. Videos of several
    shards may be compared with one and the same reference: it is in one shard, by its own id.

    Raises:
        BadInput: the number is negative, or no video of the batch forecasts anything.
    """
    if config.reference < 0:
        raise BadInput(f"quality.reference={config.reference} must be at least 0")
    if not config.reference:
        return References()
    forecast = [entry for entry in batch.values() if entry.request.forecast.method is not Method.NONE]
    if not forecast:
        raise BadInput(
            f"quality.reference={config.reference} but all rounds of the batch are full already: there is nothing to "
            "compare; choose another forecast, or leave it out"
        )
    last = min(entry.priority for entry in batch.values()) - 1
    entries: dict[str, BatchEntry] = {}
    pairs = []

    def add(request: Request, role: Role, of: BatchEntry) -> str:
        key = video_id(request, model_fingerprint=model_fingerprint, dtype=dtype)
        if key not in batch and shard.takes(key):
            name = f"{role.value} of {of.name or of.video_id}"
            entries.setdefault(key, BatchEntry(key, request, name=name, priority=last, role=role))
        return key

    for entry in _spread(forecast, config.reference):
        full = replace(entry.request, forecast=ForecastSettings(method=Method.NONE))
        reference = add(full, Role.REFERENCE, entry)
        floor = add(replace(full, rounded_noise=True), Role.NOISE_FLOOR, entry) if config.noise_floor else None
        if shard.takes(entry.video_id):
            pairs.append(Pair(video_id=entry.video_id, reference=reference, noise_floor=floor))
    return References(entries=entries, pairs=tuple(pairs))


def _spread(entries: list[BatchEntry], count: int) -> list[BatchEntry]:
    """So many of them, the first among them, at even distances; all where there are no more."""
    count = min(count, len(entries))
    return [entries[index * len(entries) // count] for index in range(count)]
