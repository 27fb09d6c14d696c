"""What the scheduler itself costs: a batch on gangs that render nothing, on a virtual clock.

Prints the scheduler's time for each segment against a segment of half a second, the memory that it grows by, how long
videos wait for their turn by priority, and how busy it keeps the gangs, also when gangs are lost now and then.
"""

import resource
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from rich.console import Console

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import REQUEST
from benchmarks.virtual_pool import VirtualPool
from orchestrator.artifacts import RunFolder, VideoFolder
from orchestrator.policy import CheckpointState, Policy, Stop
from orchestrator.request import Request
from orchestrator.scheduler import Scheduler
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress, Silent
from spectrum import ForecastSettings

SEGMENT_SECONDS = 0.5
STAGE_SECONDS = 0.2
SHAPES = ((480, 832), (720, 1280), (480, 480))
SAMPLES = 10


class Watch(Silent):
    """Notes when videos begin and how much memory is taken on the way."""

    def __init__(self, pool: VirtualPool, priorities: dict[str, int], total: int) -> None:
        self._pool, self._priorities = pool, priorities
        self._every = max(total // SAMPLES, 1)
        self.waited: dict[int, list[float]] = defaultdict(list)
        self.memory: list[int] = []
        self.done = 0
        self._begun: set[str] = set()
        self.changes = 0
        self._shapes: dict[str, object] = {}

    def gang_at(self, gang: str, progress: GangProgress) -> None:
        """Note the first time of each video."""
        if progress.video_id not in self._begun:
            self._begun.add(progress.video_id)
            self.waited[self._priorities[progress.video_id]].append(self._pool.now)

    def video_done(self, gang: str, video_id: str, folder: VideoFolder) -> None:
        """Note the memory now and then."""
        self.done += 1
        if self.done % self._every == 0:
            self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def make_requests(count: int) -> tuple[dict[str, Request], dict[str, int]]:
    """Requests of three shapes in turn, a tenth of them urgent; their priorities."""
    forecast = ForecastSettings()
    requests = {
        f"{index:016x}": replace(
            REQUEST,
            prompt=f"video {index}",
            height=SHAPES[index % 3][0],
            width=SHAPES[index % 3][1],
            forecast=forecast,
        )
        for index in range(count)
    }
    return requests, {video_id: int(index % 10 == 0) for index, video_id in enumerate(requests)}


def measure(num_gangs: int, num_requests: int, loss_share: float) -> dict[str, Any]:
    """One batch."""
    requests, priorities = make_requests(num_requests)
    pool = VirtualPool(num_gangs, segment_seconds=SEGMENT_SECONDS, stage_seconds=STAGE_SECONDS, loss_share=loss_share)
    watch = Watch(pool, priorities, num_requests)
    with tempfile.TemporaryDirectory() as name:
        scheduler = Scheduler(
            pool,
            requests,
            RunFolder(Path(name)),
            Provenance(job_name="benchmark", command="", git_revision=None),
            watch,
            policy=Policy(checkpoint_state=CheckpointState.NONE, max_attempts=1000),
            stop=Stop(),
            priorities=priorities,
            clock=pool.clock,
        )
        begin = perf_counter()
        scheduler.run()
        seconds = perf_counter() - begin - pool.file_seconds
    return {
        "gangs": num_gangs,
        "requests": num_requests,
        "loss_share": loss_share,
        "commands": pool.num_commands,
        "milliseconds_per_command": 1000 * seconds / pool.num_commands,
        "share_of_segment": seconds / pool.num_commands / SEGMENT_SECONDS,
        "busy_share": pool.busy_share,
        "memory_growth": watch.memory[-1] / watch.memory[0] if watch.memory else 1.0,
        "virtual_hours": pool.now / 3600,
        "waited": {str(priority): fmean(times) for priority, times in sorted(watch.waited.items())},
        "done": watch.done,
    }


def main() -> None:
    """Measure and print."""
    command = parser(__doc__ or "")
    command.add_argument("--gangs", type=int, default=64)
    command.add_argument("--requests", type=int, default=100_000)
    arguments = command.parse_args()
    num_requests = 500 if arguments.quick else arguments.requests
    console = Console()
    console.print(
        "| gangs | videos | gangs lost, per command | ms / command | of a 0.5 s segment | gangs busy | memory grows "
        "| urgent videos wait, s | others |",
        soft_wrap=True,
        highlight=False,
    )
    console.print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    rows = []
    for loss_share in (0.0, 0.001):
        row = measure(arguments.gangs, num_requests, loss_share)
        rows.append(row)
        console.print(
            f"| {row['gangs']} | {row['done']} | {loss_share:g} | {row['milliseconds_per_command']:.3f} | "
            f"{row['share_of_segment']:.3%} | {row['busy_share']:.2%} | {row['memory_growth']:.2f}× | "
            f"{row['waited']['1']:.1f} | {row['waited']['0']:.1f} |",
            soft_wrap=True,
            highlight=False,
        )
        assert row["done"] == num_requests
    write_json(arguments.json, {"rows": rows})


if __name__ == "__main__":
    main()
