"""A batch on a Ray cluster whose nodes join and are lost while it renders, on Ray's multi-node simulation."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts import RunFolder, sha256_of

pytestmark = pytest.mark.alone

HELPER = Path(__file__).resolve().parents[1] / "helpers" / "ray_nodes.py"
NUM_VIDEOS = 6
FEW_VIDEOS = 4
SMALL = ["video.height=64", "video.width=64", "video.num_frames=9", "denoise.num_steps=60", "forecast=none"]


class RayNodes:
    """A cluster with a head that renders nothing."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.token = environment["RAY_AUTH_TOKEN"]
        self.process = subprocess.Popen(
            [sys.executable, HELPER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._answer("address").split()[1]

    def add(self, name: str, *, cpus: int) -> None:
        self._tell(f"add {name} {cpus}")

    def remove(self, name: str) -> None:
        self._tell(f"remove {name}")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        self._answer("done")

    def _answer(self, first: str) -> str:
        for line in self.process.stdout:
            if line.startswith(first):
                return line
        pytest.fail("the cluster's process has ended")


@pytest.fixture(scope="module")
def nodes(command_environment) -> Iterator[RayNodes]:
    nodes = RayNodes(
        command_environment(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(16),
            RAY_health_check_period_ms="1000",
            RAY_health_check_timeout_ms="2000",
            RAY_health_check_failure_threshold="3",
        )
    )
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "prompts.txt"
    path.write_text("\n".join(f"a large red circle, number {index}" for index in range(NUM_VIDEOS)))
    return path


def rendered(run: Path) -> dict[str, str]:
    """sha256 of each video by id."""
    folder = RunFolder(run)
    return {video_id: sha256_of(folder.video(video_id).video) for video_id in folder.video_ids()}


@pytest.fixture(scope="module")
def undisturbed(launch, batch, model_folder, tmp_path_factory) -> dict[str, str]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = launch(
        *("+job=demo", "cluster=none", "parallel=auto", f"batch={batch}", f"model.path={model_folder}"),
        *(*SMALL, f"output={run}"),
    )
    assert done.returncode == 0, done.stderr
    return rendered(run)


@pytest.fixture(scope="module")
def watch_on(nodes, watch, model_folder):
    """Launch a batch on the nodes, into a run folder."""

    def launch_on(run: Path, *overrides: str):
        return watch(
            *("+job=demo", "cluster=ray", f"cluster.address={nodes.address}", f"output={run}"),
            *(f"model.path={model_folder}", *SMALL, *overrides),
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=nodes.token,
        )

    return launch_on


@pytest.fixture(scope="module")
def disturbed(nodes, watch_on, batch, tmp_path_factory):
    """One gang; a node joins and brings a second one; the node is lost while that one renders."""
    run = tmp_path_factory.mktemp("disturbed") / "run"
    nodes.add("a", cpus=1)
    launched = watch_on(run, f"batch={batch}", "parallel=auto", "cluster.num_gangs=null")
    launched.wait_for("gang 0  ready")
    nodes.add("b", cpus=1)
    launched.wait_for("gang 1  added", "gang 1  ready", "done in", "gang 1  ")
    ended = launched.end(lambda: nodes.remove("b"))
    assert ended.status == 0, ended.stderr
    return run, ended.stderr


def test_gangs_are_as_many_as_the_nodes_at_the_start(disturbed):
    _, log = disturbed
    assert "1 gang of one rank on cpu, cluster ray, as many as have room" in log


def test_node_that_joins_brings_a_gang_that_renders(disturbed):
    _, log = disturbed
    begun = [line.split()[2] for line in log.splitlines() if "  gang 1  " in line and "denoise" in line]
    assert begun, log


def test_loss_of_the_node_loses_its_gang_and_no_other(disturbed):
    _, log = disturbed
    assert "gang 1  lost: rank 0 on " in log
    assert "gang 0  lost" not in log


def test_every_video_is_there_once_with_the_bytes_of_an_undisturbed_run(disturbed, undisturbed):
    run, log = disturbed
    assert rendered(run) == undisturbed
    assert len(undisturbed) == NUM_VIDEOS
    assert log.count("  done in ") == NUM_VIDEOS
    assert all(json.loads(path.read_text()) for path in run.glob("*/video.json"))


@pytest.fixture(scope="module")
def shrunk_and_grown(disturbed, nodes, watch_on, batch, tmp_path_factory):
    """One gang of two nodes' ranks; one of the nodes is lost, and comes back."""
    folder = tmp_path_factory.mktemp("shrunk")
    run, few = folder / "run", folder / "few.txt"
    few.write_text("\n".join(batch.read_text().splitlines()[:FEW_VIDEOS]))
    nodes.add("c", cpus=1)
    launched = watch_on(run, f"batch={few}", "parallel=pair", "cluster.num_gangs=1")
    launched.wait_for("denoise")
    nodes.remove("c")
    launched.wait_for("gang 0  lost", "gang 0  ready")
    nodes.add("c", cpus=1)
    launched.wait_for("gang 0  built anew", "gang 0  ready")
    ended = launched.end(lambda: None)
    assert ended.status == 0, ended.stderr
    return run, ended.stderr


def test_gang_that_lost_a_node_goes_on_smaller_and_is_as_large_as_before_once_it_is_back(shrunk_and_grown):
    run, log = shrunk_and_grown
    assert log.count("gang 0  lost") == 1
    assert "gang 0  built anew: the cluster has room for 2 ranks" in log
    layouts = [json.loads(path.read_text())["layout"] for path in run.glob("*/video.json")]
    assert len(layouts) == FEW_VIDEOS
    assert len({str(layout) for layout in layouts}) == 2
