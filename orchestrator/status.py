"""What has become of a run: `python -m orchestrator.status RUN [--json]`.

From its files alone, while it goes on or after it died. Exit status: 0, or 2 where there is no run.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.durations import format_seconds
from orchestrator.errors import BadInput
from orchestrator.run_status import LaunchStatus, RunStatus, State, VideoStatus, read_run
from orchestrator.terminal import one_line

EXIT_BAD_INPUT = 2
LINE_WIDTH = 160
"""Columns of what is printed where there is no terminal."""
_MOST_FAILURES_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the state of a run; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.status",
        description="What of a run is done, under way, waiting or failed. Reads files alone, and changes none.",
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="output folder of a launch, such as outputs/demo-1a2b3c4d"
    )
    parser.add_argument("--json", action="store_true", help="everything on every video, for programs")
    options = parser.parse_args(arguments)
    try:
        run = read_run(options.run)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_INPUT
    try:
        if options.json:
            sys.stdout.write(json.dumps(as_json(run), indent=1) + "\n")
        else:
            console = Console()
            if not console.is_terminal:
                console.width = LINE_WIDTH
            print_status(console, run)
        sys.stdout.flush()
    except BrokenPipeError:  # as `head` does, once it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def as_json(run: RunStatus) -> dict[str, Any]:
    """Everything that is known, in plain values."""
    return {
        "run": str(run.root),
        "counts": {"total": len(run.videos)} | {state.name.lower(): len(run.in_state(state)) for state in State},
        "launches": [_launch_as_json(run, launch) for launch in run.launches],
        "videos": [_video_as_json(video) for video in run.videos.values()],
        "references": [_video_as_json(video) for video in run.references.values()],
    }


def print_status(console: Console, run: RunStatus) -> None:
    """Print counts, launches, the videos under way and the failed ones."""
    now = datetime.now(UTC)
    counts = ", ".join(f"{len(run.in_state(state))} {state.value}" for state in State)
    console.print(Text(f"{run.root}: {len(run.videos)} videos: {counts}", style="bold"), soft_wrap=True)
    if run.references:
        done = sum(one.state is State.DONE for one in run.references.values())
        console.print(f"for comparison, with all rounds full: {done}/{len(run.references)} done", soft_wrap=True)
    for launch in run.launches:
        style = "red" if launch.stale else "dim" if launch.phase is None else ""
        console.print(Text(_launch_line(run, launch, now), style=style), soft_wrap=True)
    all_videos = [*run.videos.values(), *run.references.values()]
    under_way = [video for video in all_videos if video.state is State.UNDER_WAY]
    if under_way:
        console.print()
        console.print(_under_way_table(under_way, now))
    _print_failures(console, [video for video in all_videos if video.state is State.FAILED])


def _launch_line(run: RunStatus, launch: LaunchStatus, now: datetime) -> str:
    done = _num_done(run, launch)
    name = "whole batch" if launch.shard == "all" else f"shard {launch.shard.replace('-', ' ')}"
    if launch.stale:
        doing = f"died: {launch.stale}; the same command goes on"
    else:
        doing = "not running" if launch.phase is None else one_line(launch.phase)
    began = f"began {format_seconds((now - launch.began).total_seconds())} ago"
    return f"{name}  {done}/{len(launch.video_ids)} done  {launch.host}:{launch.pid}  {began}  {doing}"


def _under_way_table(videos: Sequence[VideoStatus], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("gang", "on", "stage", "step", "round", "for", "video"):
        table.add_column(column, no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for video in videos:
        at = video.under_way
        assert at is not None
        gang = at.gang if at.shard == "all" else f"{at.shard} {at.gang}"
        since = format_seconds((now - at.video_since).total_seconds())
        cells = [
            gang,
            ",".join(at.nodes),
            at.stage,
            f"{at.step}/{at.num_steps}",
            at.round or "",
            since,
            video.video_id,
        ]
        table.add_row(
            *(Text(cell) for cell in cells), Text(_title(video)), style="red" if at.stale is not None else ""
        )
    return table


def _print_failures(console: Console, videos: Sequence[VideoStatus]) -> None:
    for video in videos[:_MOST_FAILURES_SHOWN]:
        assert video.failure is not None
        tries = "" if video.failure.attempts is None else f" after {video.failure.attempts} attempts"
        reason = one_line(video.failure.reason)
        text = Text(f"\nfailed{tries}  {video.video_id}  {_title(video)}\n  {reason}", style="red")
        console.print(text, soft_wrap=True)
    more = len(videos) - _MOST_FAILURES_SHOWN
    if more > 0:
        console.print(Text(f"\n… and {more} more have failed: --json names all"), soft_wrap=True)


def _title(video: VideoStatus) -> str:
    return one_line(video.name or video.prompt or "")


def _num_done(run: RunStatus, launch: LaunchStatus) -> int:
    return sum(run.videos[video_id].state is State.DONE for video_id in launch.video_ids)


def _launch_as_json(run: RunStatus, launch: LaunchStatus) -> dict[str, Any]:
    return {
        "shard": launch.shard,
        "job": launch.job,
        "host": launch.host,
        "pid": launch.pid,
        "began": launch.began.isoformat(),
        "phase": launch.phase,
        "stale": launch.stale,
        "total": len(launch.video_ids),
        "done": _num_done(run, launch),
    }


def _video_as_json(video: VideoStatus) -> dict[str, Any]:
    at, failure = video.under_way, video.failure
    under_way = at and {
        "shard": at.shard,
        "gang": at.gang,
        "nodes": list(at.nodes),
        "stage": at.stage,
        "step": at.step,
        "num_steps": at.num_steps,
        "round": at.round,
        "since": at.video_since.isoformat(),
        "stage_since": at.stage_since.isoformat(),
        "stale": at.stale,
    }
    return {
        "video_id": video.video_id,
        "state": video.state.name.lower(),
        "name": video.name,
        "prompt": video.prompt,
        "seed": video.seed,
        "priority": video.priority,
        "under_way": under_way,
        "failed": failure and {"error": failure.error, "attempts": failure.attempts},
    }


if __name__ == "__main__":
    sys.exit(main())
