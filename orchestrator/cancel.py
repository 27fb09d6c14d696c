"""Take videos out of a run: `python -m orchestrator.cancel RUN VIDEO…`, while it is rendered or before.

A video that is cancelled counts as set aside. A launch that is at it leaves it at the end of the segment; one to
which it is still to come passes it over, and so do later ones, until `retry.failed=true`. What is denoised by then is
finished. Exit status: 0; 1 where the run's folder cannot be written; 2 where there is no such run or video, or one is
done: then none is cancelled.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import CANCELLED, set_aside
from orchestrator.errors import BadInput
from orchestrator.run_status import State, VideoStatus, read_run
from orchestrator.terminal import one_line

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Cancel the videos; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.cancel",
        description="Take videos out of a run. One that is rendered right now is left at the end of its segment; "
        "retry.failed=true takes it up again, where it was left at the latest checkpoint.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="output folder of a launch")
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+", help="a video's id or name, as python -m orchestrator.status has them"
    )
    options = parser.parse_args(arguments)
    try:
        found = find_videos(options.run, options.videos)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_INPUT
    for video in found:
        title = f"{video.video_id}  {one_line(video.name or video.prompt or '')}"
        if video.state is State.FAILED:
            sys.stdout.write(f"set aside already: {title}\n")
            continue
        try:
            set_aside(RunFolder(options.run).video(video.video_id), attempts=None, cause=CANCELLED, details="")
        except OSError as error:
            print(f"error: {video.video_id} and those after it are not cancelled: {error}", file=sys.stderr)  # noqa: T201
            return EXIT_FAILED
        sys.stdout.write(f"cancelled: {title}\n")
    return 0


def find_videos(root: Path, wanted: Sequence[str]) -> list[VideoStatus]:
    """The run's videos of these ids and names, each once.

    Raises:
        BadInput: there is no such run or video, or one is done.
    """
    videos = read_run(root).videos
    found: dict[str, VideoStatus] = {}
    for one in wanted:
        of_this_name = {one: videos[one]} if one in videos else _named(videos, one)
        if not of_this_name:
            raise BadInput(f"VIDEO={one_line(one)} is no id and no name of a video in {root}")
        found |= of_this_name
    if done := [video_id for video_id, video in found.items() if video.state is State.DONE]:
        raise BadInput(f"VIDEO={done[0]} is done already: nothing was cancelled")
    return list(found.values())


def _named(videos: dict[str, VideoStatus], name: str) -> dict[str, VideoStatus]:
    return {video_id: video for video_id, video in videos.items() if video.name == name}


if __name__ == "__main__":
    sys.exit(main())
