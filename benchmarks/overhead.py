"""What lies between two segments, and between two videos, on real Ray actors whose segments sleep half a second.

The scheduler, the pool, Ray and the workers are the product's own, decoding and writing of files too, on a worker of
its own; only the denoising sleeps. Printed are the time from a segment's end on a rank to the next one's begin, and
from a video's last segment to the next video's first, as a share of the time in segments.
"""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import fmean, median, quantiles

from rich.console import Console

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import FOLDER, MAX_SEQUENCE_LENGTH
from benchmarks.sleeping_engine import SEGMENT_SECONDS, SleepingActor, read_times
from orchestrator.config import LaunchConfig
from orchestrator.launch_plan import LaunchPlan, plan_launch
from orchestrator.process_tree import no_process_left
from orchestrator.ray_environment import prepare_environment
from orchestrator.scheduler import run_batch
from orchestrator.sidecar import Provenance
from orchestrator.view import Silent

NUM_STEPS = 50
NUM_SEGMENTS = 14
"""Of a video of the paper's plan."""


@dataclass(kw_only=True, slots=True)
class Gaps:
    """Seconds in which gangs did not denoise, from a first segment to a last one."""

    segments: list[float] = field(default_factory=list)
    """Between two segments of a video."""
    videos: list[float] = field(default_factory=list)
    """Between two videos: keeping the latents of one and encoding the next are part of it."""
    busy: float = 0.0
    """Seconds in segments."""

    @property
    def segment_share(self) -> float:
        """Mean gap between segments, as a share of a segment."""
        return fmean(self.segments) / SEGMENT_SECONDS

    @property
    def video_share(self) -> float:
        """Gaps between videos, as a share of the time in segments."""
        return sum(self.videos) / self.busy


def gaps_of(gangs: Sequence[Sequence[Sequence[tuple[float, float]]]]) -> Gaps:
    """The gaps of all gangs: of each its videos, of each its segments' begins and ends."""
    gaps = Gaps()
    for videos in gangs:
        for segments in videos:
            gaps.segments += [begin - end for (_, end), (begin, _) in pairwise(segments)]
            gaps.busy += sum(end - begin for begin, end in segments)
        gaps.videos += [after[0][0] - before[-1][1] for before, after in pairwise(videos)]
    return gaps


def plan_of(folder: Path, *, num_gangs: int, num_videos: int) -> LaunchPlan:
    """Videos of the demo model, as small as there are, one rank a gang."""
    batch = folder / "prompts.txt"
    batch.write_text("\n".join(f"a red circle, number {index}" for index in range(num_videos)), encoding="utf-8")
    config = LaunchConfig(batch=str(batch), output=str(folder / "run"))
    config.job.name = "overhead"
    model, video = config.model, config.video
    model.name, model.path, model.num_attention_heads, model.dtype = "tiny_wan", str(FOLDER), 8, "float32"
    model.max_sequence_length, model.needs_gpu = MAX_SEQUENCE_LENGTH, False
    model.max_pixels, model.max_frames = 192 * 192, 33
    video.height, video.width, video.num_frames, video.fps = 32, 32, 5, 8
    config.denoise.num_steps = NUM_STEPS
    config.decode.workers = 1
    config.checkpoint.state = "none"
    config.cluster.device, config.cluster.num_gangs = "cpu", num_gangs
    config.parallel.ulysses = 1
    return plan_launch(config)


def measure(*, num_gangs: int, seconds: float) -> Gaps:
    """Render for about so long.

    Raises:
        RuntimeError: a video failed.
    """
    prepare_environment(own_cluster=True)
    from orchestrator.ray_cluster import ray_cluster  # noqa: PLC0415 - Ray reads the environment when imported
    from orchestrator.ray_pool import RayPool  # noqa: PLC0415

    num_videos = num_gangs * max(ceil(seconds / (NUM_SEGMENTS * SEGMENT_SECONDS)), 2)
    provenance = Provenance(job_name="overhead", command="", git_revision=None)
    with tempfile.TemporaryDirectory() as name:
        plan = plan_of(Path(name), num_gangs=num_gangs, num_videos=num_videos)
        with (
            no_process_left(),
            ray_cluster(plan.cluster, plan.layout, plan.decoders),
            closing(RayPool(plan, actor_class=SleepingActor)) as pool,
        ):
            outcome = run_batch(pool, plan.requests, plan.run_folder, provenance, Silent(), policy=plan.policy)
        if outcome.failed:
            raise RuntimeError(f"{len(outcome.failed)} videos failed: {next(iter(outcome.failed.values()))}")
        return gaps_of(list(read_times(plan.run_folder.root)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    command = parser(__doc__ or "")
    command.add_argument("--gangs", type=int, default=4)
    command.add_argument("--seconds", type=float, default=60.0, help="about how long (default 60)")
    given = command.parse_args(arguments)
    num_gangs, seconds = (2, 14.0) if given.quick else (given.gangs, given.seconds)
    gaps = measure(num_gangs=num_gangs, seconds=seconds)
    per_segment = [1000 * gap for gap in gaps.segments]
    console = Console()
    console.print(
        "| gangs | segments | ms between two: mean | median | 99 % | of 0.5 s | between videos, of busy time |"
    )
    console.print("|--:|--:|--:|--:|--:|--:|--:|")
    console.print(
        f"| {num_gangs} | {len(gaps.segments)} | {fmean(per_segment):.2f} | {median(per_segment):.2f} | "
        f"{quantiles(per_segment, n=100)[98]:.2f} | {gaps.segment_share:.2%} | {gaps.video_share:.2%} |",
        soft_wrap=True,
        highlight=False,
    )
    write_json(
        given.json,
        {"gangs": num_gangs, "segment_share": gaps.segment_share, "video_share": gaps.video_share, **asdict(gaps)},
    )


if __name__ == "__main__":
    main()
