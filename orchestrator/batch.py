"""The videos of a batch: requests with their ids and what people say of them; and the part that one launch takes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd

from orchestrator.errors import BadInput
from orchestrator.request import Request, video_id
from orchestrator.role import Role
from orchestrator.row_requests import Draft

MOST_SHARDS = 10_000
_SHARD = re.compile(r"(\d{1,5})/(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """A video of a batch. Neither name nor priority nor role changes its pixels, or its id."""

    video_id: str
    request: Request
    name: str | None = None
    """For people; any text."""
    priority: int = 0
    """Videos of a higher one are begun sooner."""
    role: Role = Role.BATCH


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of every batch: the same videos whatever else stands in the manifest."""

    index: int = 1
    """From 1."""
    count: int = 1

    def __str__(self) -> str:
        return "all" if self.count == 1 else f"{self.index}-of-{self.count}"

    def overlaps(self, other: "Shard") -> bool:
        """Whether some video may be in both."""
        return (self.index - other.index) % gcd(self.count, other.count) == 0

    def takes(self, video_id: str) -> bool:
        """Whether the video is in this part, which follows from its id alone."""
        return int(video_id, 16) % self.count == self.index - 1


def shard_named(name: str) -> Shard:
    """The shard whose `str` this is."""
    if name == "all":
        return Shard()
    index, _, count = name.partition("-of-")
    return Shard(int(index), int(count))


def parse_shard(text: str | None) -> Shard:
    """The shard that was typed as `3/16`; the whole batch where nothing was.

    Raises:
        BadInput: it is no such fraction.
    """
    if text is None:
        return Shard()
    match = _SHARD.fullmatch(text.strip())
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count <= MOST_SHARDS:
        raise BadInput(
            f"job.shard={text} must be i/n with 1 <= i <= n <= {MOST_SHARDS}: 3/16 is the third of sixteen parts"
        )
    return Shard(index, count)


def name_entries(drafts: Iterable[Draft], *, model_fingerprint: str, dtype: str) -> dict[str, BatchEntry]:
    """The batch's entries by video id, in its order.

    Rows that say the same become one, with the first name and the highest priority.
    """
    entries: dict[str, BatchEntry] = {}
    for request, name, priority in drafts:
        key = video_id(request, model_fingerprint=model_fingerprint, dtype=dtype)
        entry = entries.get(key)
        if entry is None:
            entries[key] = BatchEntry(key, request, name, priority)
        elif (name and not entry.name) or priority > entry.priority:
            entries[key] = replace(entry, name=entry.name or name, priority=max(priority, entry.priority))
    return entries


def part_of(entries: dict[str, BatchEntry], shard: Shard) -> dict[str, BatchEntry]:
    """The entries that a launch renders, the most urgent first, otherwise in the batch's order."""
    taken = [entry for entry in entries.values() if shard.takes(entry.video_id)]
    return {entry.video_id: entry for entry in sorted(taken, key=lambda entry: -entry.priority)}
