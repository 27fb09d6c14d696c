"""Kill and freeze what renders, at drawn moments, until the batch is done; then compare every byte.

A batch of the demo model on two gangs of two ranks and a decode worker, whose layout is pinned and whose checkpoints
hold the full state. At drawn moments a process of the launch is killed (SIGKILL) or frozen (SIGSTOP): a rank, the
decode worker, the driver, Ray's node process (raylet) or its register (gcs_server). A launch that dies is started
again. A driver that is frozen is left so for some seconds and then let go on, as nobody watches it.

Where the victim stands is read out of the stopped process itself (with py-spy). Some moments are drawn from a stage
that was not hit before, the last ones wait for those that chance has left out; the others come from the clock, among
them such while a launch starts. At the end every stage must
have been hit, every video must be there once with the sha256 of an undisturbed run's, and no process may be left.
"""

import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.arguments import parser, write_json
from benchmarks.fault_campaign import Campaign
from benchmarks.fault_launch import Launch
from benchmarks.fault_position import can_look
from benchmarks.fault_report import print_report
from orchestrator.artifacts import RunFolder, sha256_of

PROMPTS = (
    "a large red circle moving left on a dark blue background",
    "a large yellow triangle growing on a dark green background",
    "a large white ring moving up on a dark red background",
    "a large blue square moving right on a light pink background",
)
CHECKPOINT_SECONDS = 2
ARGUMENTS = ("+job=demo", "forecast=spectrum", "parallel.ulysses=2", "cluster.num_gangs=2", "decode.workers=1")
"""With forecasts of the hidden state, whose rounds take long enough to be hit."""
SURVIVING = ("checkpoint.state=full", f"checkpoint.every={CHECKPOINT_SECONDS}", "retry.backoff=0.1")


def write_batch(path: Path, num_videos: int) -> Path:
    """A manifest of so many videos."""
    rows = [f"{PROMPTS[index % len(PROMPTS)]},{index // len(PROMPTS)}" for index in range(num_videos)]
    path.write_text("\n".join(["prompt,seed", *rows, ""]))
    return path


def digests(root: Path) -> dict[str, str]:
    """sha256 of every finished video by id."""
    run_folder = RunFolder(root)
    return {
        video_id: sha256_of(run_folder.video(video_id).video)
        for video_id in sorted(run_folder.video_ids())
        if run_folder.video(video_id).is_done
    }


def left_files(root: Path) -> list[str]:
    """Files in the videos' folders that no finished video has: half-written ones, checkpoints, latents."""
    finished = {"video.mp4", "preview.png", "video.json"}
    folders = [RunFolder(root).video(video_id).root for video_id in RunFolder(root).video_ids()]
    return [str(path) for folder in folders for path in folder.iterdir() if path.name not in finished]


def main() -> None:
    """Disturb, compare, print; exit status 1 where a video is missing or differs, or a process is left."""
    command = parser(__doc__ or "")
    command.add_argument("--faults", type=int, default=24, help="processes to kill or freeze (default 24)")
    command.add_argument("--videos", type=int, help="of the batch (default: five for each fault)")
    command.add_argument("--seed", type=int, default=0, help="of the drawn moments and processes")
    command.add_argument("--undisturbed", type=Path, metavar="FOLDER", help="keep and reuse the undisturbed videos")
    arguments = command.parse_args()
    if not can_look():
        sys.exit("py-spy is not installed, or this system lets no process look into another (ptrace)")
    num_faults = 3 if arguments.quick else arguments.faults
    num_videos = arguments.videos or 5 * num_faults
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batch = write_batch(folder / "batch.csv", num_videos)
        launch = [*ARGUMENTS, f"batch={batch}"]
        undisturbed = (arguments.undisturbed or folder / "undisturbed").absolute()
        calm = Launch.start([*launch, f"output={undisturbed}"], folder)
        assert calm.process.wait() == 0, "\n".join(line.text for line in calm.lines)
        campaign = Campaign(
            [*launch, *SURVIVING, "retry.max_attempts=1000", f"output={folder}/run"],
            folder=folder,
            run=folder / "run",
            drawn=random.Random(arguments.seed),
            console=console,
            every_stage=not arguments.quick,
        )
        begin = time.monotonic()
        campaign.survive(num_faults)
        seconds = time.monotonic() - begin
        expected, actual, left = digests(undisturbed), digests(folder / "run"), left_files(folder / "run")
    is_whole = expected == actual and len(expected) == num_videos
    missed = [] if arguments.quick else campaign.missed
    print_report(console, campaign, seconds=seconds)
    console.print(
        f"{len(actual)} of {len(expected)} videos, every byte equal to the undisturbed run's: {is_whole}\n"
        f"stages that were not hit: {', '.join(missed) or 'none'}\n"
        f"processes left: {len(campaign.left)}; files left in the videos' folders: {', '.join(left) or 'none'}"
    )
    faults = [asdict(fault) for fault in campaign.faults]
    write_json(arguments.json, {"faults": faults, "launches": campaign.num_launches, "is_whole": is_whole})
    if not is_whole or missed or campaign.left or left or len(campaign.faults) < num_faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
