"""A real SLURM for the tests of this folder, jobs that are submitted to it, and what they should have rendered."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from slurm_cluster import INSTALL, SlurmCluster, missing_programs

from orchestrator.artifacts import sha256_of
from orchestrator.devices import count_gpus
from orchestrator.project import PROJECT
from orchestrator.slurm_folder import SlurmFolder

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL")
HOPPER = """\
GresTypes=gpu
NodeName=hopper1 NodeAddr=127.0.0.1 Port=1 CPUs=64 RealMemory=500000 Gres=gpu:h100:8 State=DOWN Reason=absent
PartitionName=hopper Nodes=hopper1 MaxTime=1-0 State=UP
"""
TINY = ["video.height=32", "video.width=32", "video.num_frames=5", "denoise.num_steps=8"]
SLOW = ["denoise.num_steps=250", "forecast=none"]
"""Videos that take some seconds each."""
PROMPTS = [
    f"a {size} {colour} {shape} on a dark grey background"
    for size in ("large", "small")
    for colour in ("red", "green", "blue", "white")
    for shape in ("circle", "square", "ring")
]


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Without SLURM every test that needs it is skipped, or fails where REQUIRE_SLURM is set, as in CI."""
    missing = missing_programs()
    here = Path(__file__).parent
    for item in items:
        if missing and here in item.path.parents and not os.environ.get("REQUIRE_SLURM"):
            item.add_marker(pytest.mark.skip(reason=f"no SLURM on this machine; as root: {INSTALL}"))
        if count_gpus() > 0 and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="the demo renders on the CPU"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """Four nodes on this machine's own addresses."""
    yield from _running(SlurmCluster())


@pytest.fixture(scope="module")
def slurm_with_gpus() -> Iterator[SlurmCluster]:
    """One node that runs, and a partition `hopper` of one that does not: it is known to have eight H100s."""
    yield from _running(SlurmCluster(num_nodes=1, more=HOPPER))


@pytest.fixture(scope="session")
def machines() -> Iterator[SlurmCluster]:
    """Three nodes with networks, processes and disks of their own: they can be killed."""
    if os.geteuid() != 0:
        pytest.skip("namespaces for nodes need root")
    yield from _running(SlurmCluster(num_nodes=3, namespaces=True))


def _running(cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    assert not missing_programs(), f"no SLURM on this machine, and REQUIRE_SLURM is set; as root: {INSTALL}"
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that was submitted."""

    cluster: SlurmCluster
    id: str
    run: Path
    printed: str

    @property
    def log(self) -> str:
        files = sorted(SlurmFolder(self.run).root.glob("job-*.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    @property
    def videos(self) -> dict[str, str]:
        return videos_in(self.run)

    def wait(self, *, timeout: float = 150) -> str:
        """Until it has ended; its state."""
        try:
            return self.cluster.wait_for_job(self.id, *ENDED, timeout=timeout)["JobState"]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from error

    def wait_for_log(self, text: str, *, count: int = 1, timeout: float = 120) -> None:
        """Until its log holds the text so many times."""

        def holds() -> bool:
            has_ended = self.cluster.job(self.id)["JobState"] in ENDED  # before its log is read
            is_there = self.log.count(text) >= count
            assert is_there or not has_ended, self.log
            return is_there

        self.cluster.wait_until(holds, f"{text!r} in the log", timeout)

    def wait_for_videos(self, count: int) -> None:
        self.cluster.wait_until(lambda: len(self.videos) >= count, f"{count} videos", 120)


def videos_in(run: Path) -> dict[str, str]:
    """sha256 of each finished video by id."""
    return {record.parent.name: sha256_of(record.parent / "video.mp4") for record in run.glob("*/video.json")}


@pytest.fixture(scope="session")
def batch_file(tmp_path_factory) -> Callable[[int], Path]:
    """`batch_file(6)`: a file with so many prompts, the first ones of always the same list."""

    def write(count: int) -> Path:
        path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
        path.write_text("\n".join(PROMPTS[:count]))
        return path

    return write


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call of the command came to."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def submit(tmp_path_factory, command_environment, model_folder) -> Callable[..., list[Answer]]:
    """`submit(cluster, [["+job=demo", …], …])`: each command line with the cluster's SLURM; None is none at all.

    With the demo's model, where a line says nothing else.
    """

    def task(line: Sequence[str]) -> dict[str, object]:
        has_model = any(argument.startswith("model.path=") for argument in line)
        model = [] if has_model else [f"model.path={model_folder}"]
        return {"module": "orchestrator.submit", "arguments": [*model, *line], "environment": {}}

    def run(cluster: SlurmCluster | None, command_lines: Sequence[Sequence[str]]) -> list[Answer]:
        environment = command_environment(PYTHONPATH=os.environ.get("PYTHONPATH", ""))
        environment |= {"PATH": "/nowhere"} if cluster is None else cluster.environment
        done = subprocess.run(
            [sys.executable, PROJECT / "tests" / "helpers" / "run_modules.py"],
            input=json.dumps([task(line) for line in command_lines]),
            cwd=tmp_path_factory.mktemp("cwd"),
            env=environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=True,
        )
        return [Answer(**answer) for answer in json.loads(done.stdout)]

    return run


@pytest.fixture(scope="session")
def submit_job(submit, tmp_path_factory) -> Callable[..., Job]:
    """`submit_job(cluster, "batch=…", …)`: a tiny batch of the demo as a job."""

    def run(cluster: SlurmCluster, *arguments: str, run: Path | None = None) -> Job:
        folder = run or tmp_path_factory.mktemp("job") / "run"
        # Hydra lets each field be set once; what a test sets itself is not set here.
        own = ["+job=demo", f"output={folder}", *TINY, "slurm.gpus_per_node=0", "slurm.time=10m"]
        own += ["slurm.signal_seconds=60", "slurm.shared_folder=off", f"slurm.tmp={cluster.local_disk}"]
        given = {argument.partition("=")[0] for argument in arguments}
        own = [argument for argument in own if argument.partition("=")[0] not in given]
        [done] = submit(cluster, [[*own, *arguments]])
        assert done.status == 0, f"{shlex.join(arguments)}: {done.stderr}"
        [job_id] = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("job ")]
        return Job(cluster=cluster, id=job_id, run=folder, printed=done.stdout)

    return run


@pytest.fixture(scope="session")
def render_undisturbed(launch, batch_file, model_folder, tmp_path_factory) -> Callable[..., dict[str, str]]:
    """`render_undisturbed(6, …)`: sha256 of the videos of the first so many prompts, rendered by one process."""

    def render(count: int, *more: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("undisturbed") / "run"
        done = launch(
            *("+job=demo", *TINY, f"batch={batch_file(count)}", f"model.path={model_folder}", f"output={folder}"),
            *("cluster=none", "parallel=auto", *more),
            PYTHONPATH=os.environ.get("PYTHONPATH", ""),
        )
        assert done.returncode == 0, done.stderr
        found = videos_in(folder)
        assert len(found) == count
        return found

    return render


@pytest.fixture(scope="session")
def undisturbed(render_undisturbed) -> Callable[[int], dict[str, str]]:
    """`undisturbed(6)`: of quick videos."""
    return cache(render_undisturbed)


@pytest.fixture(scope="session")
def slow_undisturbed(render_undisturbed) -> dict[str, str]:
    """Of twelve videos that take seconds each."""
    return render_undisturbed(12, *SLOW)
