"""A row of a manifest, as it was typed."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class RowKind(Enum):
    """What a row is for."""

    VIDEO = "video"
    DEFAULTS = "defaults"  # its fields stand in every row after it
    HEADER = "header"  # its fields are the columns of every row after it, and hold no values


@dataclass(frozen=True, slots=True)
class Row:
    """What was typed for one video, not checked yet."""

    line: int | None
    """Where it begins, from 1; None on the command line."""
    fields: dict[str, Any]
    kind: RowKind = RowKind.VIDEO


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is null, and so not given; but of the forecast's fields null may be a value."""
    return {name: one for name, one in fields.items() if one is not None or name.startswith("forecast.")}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What could not be read."""

    line: int | None
    text: str
