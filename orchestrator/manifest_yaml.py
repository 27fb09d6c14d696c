"""Read a .yaml manifest row by row, from the parser's events: PyYAML's loaders would hold the whole file as a tree.

Of YAML it takes what a manifest needs: mappings, lists and plain values. Anchors, aliases and tags are refused: a
file of a few lines could stand for gigabytes with the former, and `defaults` says what they would.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from orchestrator.row import Flaw, Row, RowKind, given

_MAX_DEPTH = 4
_ADVICE = "a .yaml manifest is a list of mappings, or a mapping of defaults and videos"
_TEXT = "tag:yaml.org,2002:str"


class _NoManifest(Exception):
    """What stands after it is not looked at: a file of another kind would give an error for every line."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


def read_yaml(file: BinaryIO) -> Iterator[Row | Flaw]:
    """A list of mappings, or a mapping of `defaults` and `videos`; a field that is null is not given."""
    events = _Events(file)
    try:
        yield from _read_document(events)
    except _NoManifest as error:
        yield error.flaw
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield Flaw(mark.line + 1 if mark else None, f"the file is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield Flaw(None, f"the file is not YAML: {' '.join(str(error).split())}")


class _Events:
    """The parser's events, and values built from them."""

    def __init__(self, file: BinaryIO) -> None:
        self._events: Iterator[Event] = yaml.parse(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._tools = yaml.SafeLoader("")
        self.flaws: list[Flaw] = []
        """What was wrong with the values since this list was last emptied."""

    def next(self) -> Event:
        return next(self._events)

    def value(self, event: Event, depth: int = 0) -> Any:
        """The value that begins with `event`; the events up to its end are taken."""
        if depth > _MAX_DEPTH:
            self._flaw(event, "the value is nested too deep")
            self._skip(event)
            return None
        if isinstance(event, AliasEvent):
            self._flaw(event, f"*{event.anchor}: aliases are not read, say it in defaults")
            return None
        if event.tag is not None and event.tag != "!":
            self._flaw(event, f"{event.tag}: tags are not read")
            self._skip(event)
            return None
        if isinstance(event, MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, SequenceStartEvent):
            values = []
            while not isinstance(event := self.next(), SequenceEndEvent):
                values.append(self.value(event, depth + 1))
            return values
        return self._scalar(event)

    def take_flaws(self) -> list[Flaw]:
        flaws, self.flaws = self.flaws, []
        return flaws

    def _mapping(self, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := self.next(), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self._flaw(event, "a field's name must be a word")
                self._skip(event)
                self._skip(self.next())
                continue
            if event.value in fields:
                self._flaw(event, f"{event.value} is given twice")
            fields[event.value] = self.value(self.next(), depth + 1)
        return fields

    def _scalar(self, event: Event) -> Any:
        tag = self._tools.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == _TEXT:
            return event.value
        try:
            return self._tools.construct_document(yaml.ScalarNode(tag, event.value, event.start_mark))
        except (yaml.YAMLError, ValueError):  # such as the date 2024-99-99
            return event.value

    def _skip(self, event: Event) -> None:
        depth = 0
        while True:
            depth += isinstance(event, (MappingStartEvent, SequenceStartEvent))
            depth -= isinstance(event, (MappingEndEvent, SequenceEndEvent))
            if depth == 0:
                return
            event = self.next()

    def _flaw(self, event: Event, text: str) -> None:
        self.flaws.append(Flaw(event.start_mark.line + 1, text))


def _read_document(events: _Events) -> Iterator[Row | Flaw]:
    events.next()  # the stream's beginning
    event = events.next()
    if isinstance(event, StreamEndEvent):
        return
    root = events.next()
    if isinstance(root, SequenceStartEvent):
        yield from _read_videos(events)
    elif isinstance(root, MappingStartEvent):
        yield from _read_sections(events)
    else:
        raise _NoManifest(Flaw(root.start_mark.line + 1, _ADVICE))
    events.next()  # the document's end
    if isinstance(event := events.next(), DocumentStartEvent):
        raise _NoManifest(Flaw(event.start_mark.line + 1, f"a second document begins; {_ADVICE}"))


def _read_sections(events: _Events) -> Iterator[Row | Flaw]:
    seen: list[str] = []
    while not isinstance(event := events.next(), MappingEndEvent):
        name = event.value if isinstance(event, ScalarEvent) else None
        line, value = event.start_mark.line + 1, events.next()
        if name == "defaults" and isinstance(value, MappingStartEvent) and not seen:
            yield from _read_row(events, value, RowKind.DEFAULTS)
        elif name == "videos" and isinstance(value, SequenceStartEvent) and "videos" not in seen:
            yield from _read_videos(events)
        else:
            raise _NoManifest(Flaw(line, f"{name}: {_ADVICE}, in this order"))
        seen.append(name)


def _read_videos(events: _Events) -> Iterator[Row | Flaw]:
    while not isinstance(event := events.next(), SequenceEndEvent):
        yield from _read_row(events, event, RowKind.VIDEO)


def _read_row(events: _Events, event: Event, kind: RowKind) -> Iterator[Row | Flaw]:
    value = events.value(event)
    flaws = events.take_flaws()
    if flaws:
        yield from flaws
    elif isinstance(value, dict):
        yield Row(event.start_mark.line + 1, given(value), kind)
    else:
        yield Flaw(event.start_mark.line + 1, "the row must be a mapping such as {prompt: a red circle, seed: 3}")
