"""The table at the end of a launch."""

import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.artifacts import RunFolder
from orchestrator.progress import format_seconds
from orchestrator.request import Request


def print_summary(console: Console, requests: Mapping[str, Request], run_folder: RunFolder, seconds: float) -> None:
    """A line for each finished video: seconds, full rounds, speed-up, and where it is.

    The speed-up is against all rounds full, estimated from the video's own rounds.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("prompt", no_wrap=True, overflow="ellipsis", max_width=60)
    for heading in ("seconds", "full rounds", "speed-up"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    table.add_column("video", overflow="fold", min_width=20)
    for video_id, request in requests.items():
        folder = run_folder.video(video_id)
        if not folder.is_done:
            continue
        record = folder.read_sidecar()
        table.add_row(
            Text(request.prompt),
            f"{record['seconds']['total']:.1f}",
            f"{record['num_full_rounds']} of {len(record['plan'])}",
            f"{record['estimated_speedup']:.2f}×",
            Text(_short(folder.video)),
        )
    console.print(table)
    console.print(f"{len(requests)} videos in {_short(run_folder.root)}, {format_seconds(seconds)} this time")


def _short(path: Path) -> str:
    """The path from the working directory where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
