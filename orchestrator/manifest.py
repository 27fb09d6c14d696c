"""Read the rows of a batch, one by one: a prompt of the command line, or a manifest (.txt, .csv, .jsonl, .yaml).

What the fields of a row mean is none of this module's business; see `row_requests.py`.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import BadInput
from orchestrator.manifest_yaml import read_yaml
from orchestrator.project import find_file
from orchestrator.row import Flaw, Row, RowKind, given

MAX_LINE_BYTES = 2**20
"""Of a line: no prompt comes near, and a file that is no manifest is not read as one line of gigabytes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows that were asked for."""

    label: str
    """The file as it was typed; empty for a prompt of the command line."""
    rows: Iterator[Row | Flaw]
    """Read from the file while they are taken."""

    def where(self, line: int | None) -> str:
        """A line, for people: `prompts.jsonl line 17`; empty for the command line."""
        return f"{self.label} line {line}" if self.label and line else self.label


def open_manifest(*, prompt: str | None, batch: str | None, job_batch: str | None = None) -> Manifest:
    """The rows that were asked for, in order.

    Args:
        prompt: one prompt, or None.
        batch: a manifest in UTF-8, or None. Its suffix says how it is read; blank lines are skipped.
        job_batch: such a file for when both are None, also looked for from the project's folder.

    Raises:
        BadInput: there is none, both are given, or the file cannot be read.
    """
    if prompt is not None and batch is not None:
        raise BadInput(f"prompt={prompt!r} and batch={batch} are both set: give one of them")
    if prompt is not None:
        if not prompt.strip():
            raise BadInput(f"prompt={prompt!r} is empty: say what the video should show")
        return Manifest("", iter([Row(None, {"prompt": prompt})]))
    if batch is None and job_batch is not None:
        return _open_file(find_file(job_batch))
    if batch is None:
        raise BadInput(f'no prompts: give prompt="…" or batch=FILE ({_SUFFIXES}; .txt: one prompt a line)')
    return _open_file(Path(batch))


def _open_file(path: Path) -> Manifest:
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise BadInput(f"batch={path} has the suffix {path.suffix!r}: a manifest is one of {_SUFFIXES}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"batch={path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name that no system can have
        raise BadInput(f"batch={path} cannot be read: {error}") from error
    return Manifest(str(path), _read_and_close(file, read, path))


def _read_and_close(
    file: BinaryIO, read: Callable[[BinaryIO], Iterator[Row | Flaw]], path: Path
) -> Iterator[Row | Flaw]:
    try:
        with file:
            yield from read(file)
    except OSError as error:
        raise BadInput(f"batch={path} cannot be read: {error.strerror}") from error


def _lines(file: BinaryIO) -> Iterator[tuple[int, str | Flaw]]:
    """Numbered lines with their ends.

    Only real line ends part them; str.splitlines would also cut at the separators that Unicode knows.
    """
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            yield number, Flaw(number, f"the line is longer than {MAX_LINE_BYTES} bytes")
            return
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            yield number, Flaw(number, f"the line is not UTF-8 text: {error.reason} at its byte {error.start + 1}")


def _read_txt(file: BinaryIO) -> Iterator[Row | Flaw]:
    """A prompt a line."""
    for number, line in _lines(file):
        if isinstance(line, Flaw):
            yield line
        elif prompt := line.strip():
            yield Row(number, {"prompt": prompt})


def _read_jsonl(file: BinaryIO) -> Iterator[Row | Flaw]:
    """A JSON object a line."""
    for number, line in _lines(file):
        if isinstance(line, Flaw):
            yield line
        elif line.strip():
            yield _read_json(number, line)


def _read_json(number: int, line: str) -> Row | Flaw:
    try:
        value = json.loads(line, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        return Flaw(number, f"the line is not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return Flaw(number, str(error))
    except RecursionError:
        return Flaw(number, "the line is nested too deep")
    if not isinstance(value, dict):
        return Flaw(number, 'the line must be an object such as {"prompt": "a red circle", "seed": 3}')
    return Row(number, given(value))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is given twice")
    return fields


class _Unreadable(Exception):
    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


def _read_csv(file: BinaryIO) -> Iterator[Row | Flaw]:
    """A header of fields, then a row for each video; a cell that is empty is not given."""

    def lines() -> Iterator[str]:
        for _, line in _lines(file):
            if isinstance(line, Flaw):  # the quotes after it could not be told apart
                raise _Unreadable(line)
            yield line

    reader = csv.reader(lines(), strict=True)
    line = 1
    try:
        columns = [name.strip() for name in next(reader, [])]
        if problem := _problem_of_header(columns):
            yield Flaw(1, problem)
            return
        yield Row(1, dict.fromkeys(columns), RowKind.HEADER)
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == len(columns):
                yield Row(line, {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()})
            elif cells:
                yield Flaw(line, f"the row has {len(cells)} cells, the header {len(columns)}")
            line = reader.line_num + 1
    except csv.Error as error:
        yield Flaw(line, f"the row cannot be read as comma-separated values: {error}")
    except _Unreadable as unreadable:
        yield unreadable.flaw


def _problem_of_header(columns: list[str]) -> str | None:
    """Why the first line of a .csv file cannot be its header."""
    if "prompt" not in columns:
        return "the header has no column prompt: the first line names the fields, such as prompt,seed,num_frames"
    repeated = [name for name in columns if columns.count(name) > 1]
    return f"the header names {repeated[0]!r} twice" if repeated else None


_READERS: dict[str, Callable[[BinaryIO], Iterator[Row | Flaw]]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
_SUFFIXES = ", ".join(_READERS)
