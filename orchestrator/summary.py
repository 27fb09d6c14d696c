"""The table at the end of a launch."""

import os
from collections.abc import Mapping
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry
from orchestrator.durations import format_seconds
from orchestrator.request import Request

_FIGURES = f"{'seconds':>9}  {'full rounds':>11}  {'speed-up':>8}"
_MOST_PROMPT_COLUMNS = 60
_MOST_VIDEOS_SHOWN = 50


def print_summary(console: Console, requests: Mapping[str, Request], run_folder: RunFolder, seconds: float) -> None:
    """A line for each of the first finished videos: seconds, full rounds, speed-up, and where it is.

    The speed-up is against all rounds full, estimated from the video's own rounds. Prompts are cut to fit; paths
    never are, so that they can be copied: where a line has no room, the path stands on the next one.
    """
    done = [(request, run_folder.video(name)) for name, request in requests.items() if run_folder.video(name).is_done]
    num_more, done = max(len(done) - _MOST_VIDEOS_SHOWN, 0), done[:_MOST_VIDEOS_SHOWN]
    paths = [_short(folder.video) for _, folder in done]
    wanted = max((cell_len(_one_line(request.prompt)) for request, _ in done), default=0)
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
        _print(console, f"{_cut(_one_line(request.prompt), columns)}  {figures}{gap}{path}")
    if num_more:
        _print(console, f"… and {num_more} more")
    _print(console, f"{len(requests)} videos in {_short(run_folder.root)}, {format_seconds(seconds)} this time")


def _print(console: Console, text: str, *, style: str | None = None) -> None:
    """As it is: prompts and folders may hold what rich would take for markup."""
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _one_line(prompt: str) -> str:
    return " ".join(prompt.split())


def _cut(text: str, columns: int) -> str:
    if cell_len(text) <= columns:
        return set_cell_size(text, columns)
    return set_cell_size(text, columns - 1) + "…"


def _short(path: Path) -> str:
    """The path from the working directory where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def print_failures(console: Console, entries: Mapping[str, BatchEntry], failed: Mapping[str, str]) -> None:
    """Which videos were set aside, and why: the last lines of a launch."""
    for video_id, cause in failed.items():
        name = entries[video_id].name or entries[video_id].request.prompt
        console.print(f"failed: {video_id}  {name}", style="red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"        {cause}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        console.print(f"{len(failed)} set aside, see failed.json in their folders; retry.failed=true tries again")


def print_page(console: Console, run_folder: RunFolder) -> None:
    """Where to look at all of it."""
    _print(console, f"look at them: {_short(run_folder.page)}")
