"""The table at the end of a launch."""

import os
import shlex
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry
from orchestrator.durations import format_seconds
from orchestrator.request import Request
from orchestrator.run_status import read_failure
from orchestrator.standing import SET_ASIDE_BEFORE, done_ids
from orchestrator.terminal import one_line, printable

_FIGURES = f"{'seconds':>9}  {'full rounds':>11}  {'speed-up':>8}"
_MOST_PROMPT_COLUMNS = 60
_MOST_VIDEOS_SHOWN = 50
_MOST_FAILURES_SHOWN = 20


def print_summary(console: Console, requests: Mapping[str, Request], run_folder: RunFolder, seconds: float) -> None:
    """A line for each of the first finished videos: seconds, full rounds, speed-up, and where it is.

    The speed-up is against all rounds full, estimated from the video's own rounds. Prompts are cut to fit; paths
    never are, so that they can be copied: where a line has no room, the path stands on the next one.
    """
    done = [(requests[name], run_folder.video(name)) for name in done_ids(run_folder, requests)]
    num_more, done = max(len(done) - _MOST_VIDEOS_SHOWN, 0), done[:_MOST_VIDEOS_SHOWN]
    paths = [_short(folder.video) for _, folder in done]
    wanted = max((cell_len(one_line(request.prompt)) for request, _ in done), default=0)
    most = min(_MOST_PROMPT_COLUMNS, console.width - len(_FIGURES) - 2)
    columns = max(min(wanted, most), len("prompt"))
    has_room = columns + 2 + len(_FIGURES) + 2 + max(map(cell_len, paths), default=0) <= console.width
    gap = "  " if has_room else "\n  "
    _print(
        console,
        f"{set_cell_size('prompt', columns)}  {_FIGURES}  {'video' if has_room else ''}".rstrip(),
        style="bold",
    )
    for (request, folder), path in zip(done, paths, strict=True):
        record = folder.read_sidecar()
        rounds = f"{record['num_full_rounds']} of {len(record['plan'])}"
        figures = f"{record['seconds']['total']:>9.1f}  {rounds:>11}  {record['estimated_speedup']:>7.2f}×"
        _print(console, f"{_cut(one_line(request.prompt), columns)}  {figures}{gap}{path}")
    if num_more:
        _print(console, f"… and {num_more} more")
    _print(console, f"{len(requests)} videos in {_short(run_folder.root)}, {format_seconds(seconds)} this time")


def _print(console: Console, text: str, *, style: str | None = None) -> None:
    """As it is: prompts and folders may hold what rich would take for markup, and a terminal for orders."""
    console.print(printable(text), style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _cut(text: str, columns: int) -> str:
    if cell_len(text) <= columns:
        return set_cell_size(text, columns)
    return set_cell_size(text, columns - 1) + "…"


def _short(path: Path) -> str:
    """The path from the working directory where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def print_failures(
    console: Console, entries: Mapping[str, BatchEntry], failed: Mapping[str, str], run_folder: RunFolder
) -> None:
    """Which videos were set aside, and why: the last lines of a launch, but for one that says what to do."""
    for video_id, cause in islice(failed.items(), _MOST_FAILURES_SHOWN):
        failure, entry = read_failure(run_folder.video(video_id)), entries[video_id]
        when = " before" if cause == SET_ASIDE_BEFORE else ""
        name = _cut(one_line(entry.name or entry.request.prompt), _MOST_PROMPT_COLUMNS).rstrip()
        _print(console, f"failed{when}: {video_id}  {name}", style="red")
        _print(console, f"        {one_line(cause if failure is None else failure.reason)}")
    if not failed:
        return
    num_more = len(failed) - _MOST_FAILURES_SHOWN
    if num_more > 0:
        run = shlex.quote(_short(run_folder.root))
        _print(console, f"… and {num_more} more: python -m orchestrator.status {run} --json")
    _print(console, f"{len(failed)} set aside, see failed.json in their folders; retry.failed=true tries again")


def print_page(console: Console, run_folder: RunFolder) -> None:
    """Where to look at all of it."""
    _print(console, f"look at them: {_short(run_folder.page)}")
