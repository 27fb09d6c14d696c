"""Kill and freeze what renders, at drawn moments, until the batch is done; then compare every byte.

A batch of the demo model on two gangs of two ranks. At drawn moments a process of the launch is killed (SIGKILL) or
frozen (SIGSTOP): a rank, the driver, or Ray's node process. A launch that dies is started again. At the end every
video must be there once, with the sha256 of an undisturbed run's, and no process may be left.

Prints each fault with the stages and steps that it hit and the seconds until the gang was back.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from threading import Thread

import psutil
from rich.console import Console

from benchmarks.arguments import parser, write_json
from orchestrator.artifacts import RunFolder, sha256_of
from orchestrator.project import PROJECT

PROMPTS = (
    "a large red circle moving left on a dark blue background",
    "a large yellow triangle growing on a dark green background",
    "a large white ring moving up on a dark red background",
    "a large blue square moving right on a light pink background",
)
TARGETS = {"rank": "ray::RankActor", "driver": "orchestrator.launch", "node": "raylet/raylet"}
SMALL = ("video.height=64", "video.width=64", "video.num_frames=9")
_AT = re.compile(r"(gang \d+)  ([0-9a-f]{16})  (\w+)  step (\d+)/")
_GOES_ON = re.compile(r"gang \d+  [0-9a-f]{16}  \w+  step")


@dataclass(kw_only=True, slots=True)
class Fault:
    """One process that was killed or frozen."""

    target: str
    signal: str
    stage: str
    """What the batch's gangs were doing."""
    seconds_to_resume: float | None = None
    """Until a gang began something again, which had not been able to."""


@dataclass(kw_only=True, slots=True)
class Launch:
    """The main command, its standard error read line by line."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def start(cls, arguments: list[str], folder: Path) -> "Launch":
        """Begin."""
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.launch", *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        launch = cls(process=process)
        Thread(target=launch.read, daemon=True).start()
        return launch

    def read(self) -> None:
        """Keep every line with its time."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def stages(self) -> dict[str, str]:
        """What each gang was last said to do."""
        found = {}
        for _, line in self.lines:
            if match := _AT.search(line):
                gang, _, stage, step = match.groups()
                found[gang] = f"{stage} {step}"
        return found

    def is_rendering(self) -> bool:
        """Whether any gang has begun something."""
        return any(_GOES_ON.search(line) for _, line in self.lines)

    def family(self) -> list[psutil.Process]:
        """The launch and all below it."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def find(self, target: str) -> list[psutil.Process]:
        """Its processes of a kind."""
        if target == "driver":
            return self.family()[:1]
        return [one for one in self.family() if TARGETS[target] in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def disturb(launch: Launch, drawn: random.Random) -> Fault | None:
    """Kill or freeze a drawn process; None if it was gone already. A driver is killed, not frozen."""
    target = drawn.choices(["rank", "driver", "node"], weights=[6, 2, 1])[0]
    found = launch.find(target)
    if not found:
        return None
    victim = drawn.choice(found)
    kind = signal.SIGSTOP if target == "rank" and drawn.random() < 0.4 else signal.SIGKILL
    fault = Fault(target=target, signal=kind.name, stage=", ".join(sorted(launch.stages().values())) or "starting")
    try:
        victim.send_signal(kind)
    except psutil.NoSuchProcess:
        return None
    return fault


def left_over(families: set[int]) -> list[int]:
    """Processes of killed launches that are still alive."""
    alive = []
    for pid in families:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
        except psutil.NoSuchProcess:
            continue
    return alive


def survive(num_faults: int, seed: int, folder: Path, console: Console, *, gangs: int) -> list[Fault]:
    """Launch again and again, disturbing each, until all faults are spent and the batch is done."""
    drawn, faults = random.Random(seed), list[Fault]()
    batch = folder / "prompts.txt"
    batch.write_text("\n".join(f"{prompt}" for prompt in PROMPTS))
    arguments = [
        *("+job=demo", f"batch={batch}", f"output={folder}/run", f"cluster.num_gangs={gangs}", *SMALL),
        *("checkpoint.every=1", "retry.max_attempts=1000", "retry.backoff=0.1"),
    ]
    everyone: set[int] = set()
    for _ in range(num_faults + 20):
        launch, pending = Launch.start(arguments, folder), None
        while launch.process.poll() is None:
            wait = time.monotonic() + drawn.uniform(1.0, 9.0)
            while time.monotonic() < wait and launch.process.poll() is None:
                time.sleep(0.05)
            everyone |= {one.pid for one in launch.family()}
            if len(faults) >= num_faults or not launch.is_rendering():
                continue
            at = time.monotonic()
            pending = disturb(launch, drawn)
            if pending is None:
                continue
            faults.append(pending)
            _wait_until_it_goes_on(launch, pending, at)
            console.print(
                f"{len(faults):>3}  {pending.signal} {pending.target:<7} at {pending.stage:<30} "
                + ("launched again" if pending.seconds_to_resume is None else f"{pending.seconds_to_resume:.1f} s"),
                highlight=False,
            )
        if launch.process.returncode == 0:
            break
    deadline = time.monotonic() + 10
    while left_over(everyone) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = left_over(everyone)
    if left:
        console.print(f"processes left: {left}")
        sys.exit(1)
    return faults


def _wait_until_it_goes_on(launch: Launch, fault: Fault, at: float) -> None:
    """Until a gang that was lost is at work again, or the launch is over."""
    deadline = at + 120
    while time.monotonic() < deadline and launch.process.poll() is None:
        after = [line for when, line in launch.lines if when > at]
        lost = next((index for index, line in enumerate(after) if "lost: " in line), None)
        if lost is not None:
            gang = after[lost].split("  ")[1] if "  " in after[lost] else ""
            again = next(
                (when for when, line in launch.lines if when > at and gang in line and "ready on" in line), None
            )
            if again is not None:
                fault.seconds_to_resume = again - at
                return
        time.sleep(0.05)


def main() -> None:
    """Disturb, compare, print; exit status 1 where a video is missing or differs."""
    command = parser(__doc__ or "")
    command.add_argument("--faults", type=int, default=24, help="processes to kill or freeze (default 24)")
    command.add_argument("--seed", type=int, default=0, help="of the drawn moments and processes")
    command.add_argument("--gangs", type=int, default=2, help="gangs of two ranks (default 2)")
    arguments = command.parse_args()
    num_faults = 3 if arguments.quick else arguments.faults
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "calm").mkdir()
        calm = folder / "calm" / "prompts.txt"
        calm.write_text("\n".join(PROMPTS))
        undisturbed = ["+job=demo", f"batch={calm}", f"output={folder}/calm/run", *SMALL]
        assert Launch.start(undisturbed, folder).process.wait() == 0
        faults = survive(num_faults, arguments.seed, folder, console, gangs=arguments.gangs)
        expected, actual = digests(folder / "calm" / "run"), digests(folder / "run")
    resumed = [fault.seconds_to_resume for fault in faults if fault.seconds_to_resume is not None]
    is_whole = expected == actual and len(expected) == len(PROMPTS)
    console.print(f"\n{len(faults)} faults; {len(actual)} of {len(expected)} videos, equal: {is_whole}")
    if resumed:
        console.print(f"seconds until the gang was back: median {median(resumed):.1f}, worst {max(resumed):.1f}")
    write_json(arguments.json, {"faults": [asdict(fault) for fault in faults], "is_whole": is_whole})
    if not is_whole:
        sys.exit(1)


def digests(root: Path) -> dict[str, str]:
    """sha256 of every finished video by id."""
    run_folder = RunFolder(root)
    return {
        video_id: sha256_of(run_folder.video(video_id).video)
        for video_id in sorted(run_folder.video_ids())
        if run_folder.video(video_id).is_done
    }


if __name__ == "__main__":
    main()
