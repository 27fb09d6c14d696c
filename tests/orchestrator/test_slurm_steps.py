"""Ray on the nodes of a job, brought up by an `srun` and a `scontrol` of a few lines of shell."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.slurm_folder import SlurmFolder
from orchestrator.slurm_steps import Allocation, RaySizes, RaySteps

pytestmark = pytest.mark.alone

NODES = ("n1", "n2")
SRUN = """\
echo "$@" >> {folder}/started
echo "Ray is starting"
echo "slurm_node: up 10.0.0.1:20000"
( while :; do echo "Ray says something"; echo "slurm_node: alive"; sleep 0.05; done ) &
cat > /dev/null  # until the job closes it
kill $!
"""


@dataclass
class Bench:
    """An allocation of two nodes whose steps are shell scripts."""

    steps: RaySteps
    folder: Path

    @property
    def started(self) -> list[list[str]]:
        """The words of each step."""
        return [line.split() for line in (self.folder / "started").read_text().splitlines()]

    def ray_log(self, node: str) -> Path:
        return SlurmFolder(self.folder / "run").ray_log("7", node)

    def start(self) -> None:
        self.steps.start(within=20, stop=lambda: False)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in (("srun", SRUN.format(folder=tmp_path)), ("scontrol", "echo NodeAddr=10.0.0.2")):
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    folder = SlurmFolder(tmp_path / "run")
    folder.root.mkdir(parents=True)
    folder.witness("7").write_text("secret")
    sizes = RaySizes(cpus=1, gpus=0, object_store_mb=80, tmp=tmp_path, interface=None, command=("python",))
    allocation = Allocation(job_id="7", nodes=NODES, own_node="n1", restart_count=0, cpus_per_step=1)
    made = Bench(steps=RaySteps(allocation, sizes, folder, lambda _line: None), folder=tmp_path)
    yield made
    made.steps.stop()


def test_head_is_told_where_slurm_reaches_another_node_and_the_others_where_the_head_is(bench):
    bench.start()
    assert bench.steps.nodes_up == list(NODES)
    head, other = bench.started
    assert "--head" in head and "--peer=10.0.0.2" in head
    assert "--head" not in other and "--peer=10.0.0.1:20000" in other


def test_node_goes_by_its_name_where_the_controller_does_not_answer(bench):
    (bench.folder / "bin" / "scontrol").write_text("#!/bin/bash\necho connect failure >&2\nexit 1\n")
    bench.start()
    assert bench.steps.nodes_up == list(NODES)
    assert "--peer=n2" in bench.started[0]


def test_what_ray_says_on_a_node_is_kept_without_the_signs_of_life(bench):
    bench.start()
    bench.steps.stop()
    command, *said = bench.ray_log("n2").read_text().splitlines()
    assert command.startswith("$ srun ") and said[0] == "Ray is starting"
    assert set(said[1:]) <= {"Ray says something"}


def test_node_whose_log_cannot_be_written_is_not_lost(bench, monkeypatch):
    monkeypatch.setattr("orchestrator.slurm_steps.LOST_SECONDS", 0.5)
    for node in NODES:
        bench.ray_log(node).mkdir(parents=True)
    bench.start()
    time.sleep(1)
    assert bench.steps.nodes_up == list(NODES)
