"""The command that submits: what it writes, and what it refuses before anything waits in a queue."""

import subprocess
from pathlib import Path

import pytest
import yaml
from model_folders import make_wan_folder

from orchestrator.slurm_folder import SlurmFolder

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).resolve().parents[2]
CPU = ["+job=demo", "slurm.gpus_per_node=0", "parallel=auto", "slurm.shared_folder=off"]

# By name: what is typed after +job=demo, and what the one line must name.
REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "partition": (["slurm.partition=gpu"], ["slurm.partition=gpu", "main, urgent"]),
    "GPUs": (
        ["slurm.gpus_per_node=8", "cluster.device=cuda"],
        ["slurm.gpus_per_node=8", "the most on one of its nodes is 0"],
    ),
    "CPU with GPUs": (["slurm.gpus_per_node=8"], ["cluster.device=cpu", "slurm.gpus_per_node=8"]),
    "nodes": (["slurm.nodes=9"], ["slurm.nodes=9", "main has: 4"]),
    "cores": (["slurm.cpus_per_node=64"], ["64 CPU cores", "the most on one is 4"]),
    "time that cannot be read": (["slurm.time=soon"], ["slurm.time=soon", "8h"]),
    "time of the partition": (["slurm.time=3d"], ["slurm.time=3d", "1-00:00:00"]),
    "time below the signal's": (["slurm.time=2m"], ["slurm.time=2m", "slurm.signal_seconds=300"]),
    "room": (["parallel.ranks=2", "slurm.cpus_per_node=1"], ["slurm.cpus_per_node=1", "room for 0 gangs of 2 ranks"]),
    "folder": (["slurm.shared_folder=error", "output=/proc/run"], ["output=/proc/run"]),
    "flag": (["slurm.flags=['--nodes=3']"], ["slurm.flags", "--nodes"]),
    "variable": (["+slurm.environment.A-B=1"], ["slurm.environment", "A-B"]),
    "prompts": (["batch=none.txt"], ["batch=none.txt"]),
    "elsewhere": (["cluster=local"], ["cluster.kind=local", "orchestrator.launch"]),
}


DRY = [
    "--dry-run",
    "prompt=it's $(red)",
    "slurm.nodes=2",
    "slurm.array=4",
    "slurm.array_at_once=2",
    "slurm.account=lab",
]


def typed(name: str, output: Path) -> list[str]:
    """A case's whole command line."""
    own = REFUSED[name][0]
    fields = {argument.partition("=")[0] for argument in own}
    common = [argument for argument in [*CPU, f"output={output}"] if argument.partition("=")[0] not in fields]
    return [*common, *own]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("submit") / "run"


@pytest.fixture(scope="module")
def answers(slurm, submit, output):
    """Of all refused cases, and of what sbatch itself refuses."""
    lines = [typed(name, output / "refused") for name in REFUSED]
    by_sbatch = [*CPU, "slurm.constraint=quantum", f"output={output}/by_sbatch"]
    dry = [*CPU, *DRY, f"output={output}/dry"]
    return dict(zip([*REFUSED, "by sbatch", "dry"], submit(slurm, [*lines, by_sbatch, dry]), strict=True))


@pytest.fixture(scope="module")
def answers_without_slurm(submit, output):
    lines = [[*CPU, f"output={output}/refused"], [*CPU, "--dry-run", f"output={output}/dry_without"]]
    return submit(None, lines)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(answers, name):
    answer = answers[name]
    assert answer.status == 2, answer.stderr
    [line] = answer.stderr.splitlines()
    assert all(part in line for part in REFUSED[name][1]), line
    assert answer.stdout == ""


def test_machine_without_slurm_is_told_so(answers_without_slurm):
    refused, _ = answers_without_slurm
    assert refused.status == 2
    assert "no SLURM here" in refused.stderr and "dry_run=true" in refused.stderr


def test_by_then_nothing_was_submitted_or_written(answers, answers_without_slurm, slurm, output):
    assert slurm.run("squeue", "--noheader").stdout == ""
    assert not (output / "refused").exists()


def test_dry_run_shows_the_file_writes_it_and_submits_nothing(answers, output):
    answer, folder = answers["dry"], SlurmFolder(output / "dry")
    assert answer.status == 0, answer.stderr
    script = folder.script.read_text()
    assert answer.stdout.startswith(script) and "not submitted" in answer.stdout
    for line in ("#SBATCH --array=1-4%2", "#SBATCH --account=lab", "#SBATCH --signal=B:USR1@300"):
        assert line in script.splitlines()
    assert '"job.shard=$SLURM_ARRAY_TASK_ID/4"' in script
    assert yaml.safe_load(folder.settings.read_text())["prompt"] == "it's $(red)"
    assert not folder.submissions.exists()


def test_dry_run_needs_no_slurm(answers_without_slurm):
    _, dry = answers_without_slurm
    assert dry.status == 0, dry.stderr
    assert "warning: partition, GPUs and time limit were not checked: no SLURM here" in dry.stderr


def test_what_sbatch_refuses_is_passed_on(answers):
    assert answers["by sbatch"].status == 1
    gangs, line = answers["by sbatch"].stderr.splitlines()
    assert gangs.startswith("gangs"), "what would have run"
    assert line.startswith("error: sbatch: ") and "feature" in line.lower()


def test_time_shorter_than_a_video_takes_is_refused(slurm_with_gpus, submit, tmp_path):
    """By the GPUs that SLURM says the partition has; such a time as leaves enough is taken."""
    model = make_wan_folder(tmp_path, "14b")
    common = ["+job=wan_t2v", f"model.path={model}", "slurm.partition=hopper", "slurm.shared_folder=off"]
    common += ["slurm.gpus_per_node=8", "slurm.signal_seconds=90", "video=720p"]
    short, long = submit(
        slurm_with_gpus,
        [
            [*common, "slurm.time=2m", f"output={tmp_path}/short"],
            [*common, "slurm.time=10m", f"output={tmp_path}/long", "--dry-run"],
        ],
    )
    assert short.status == 2 and short.stdout == ""
    [line] = short.stderr.splitlines()
    for part in ("slurm.time=2m leaves 30 s before slurm.signal_seconds=90", "one video takes at least", "8 h100"):
        assert part in line
    assert long.status == 0, long.stderr
    assert "#SBATCH --gpus-per-node=8" in long.stdout
    assert not (tmp_path / "short").exists()


def test_submit_composes_what_launch_composes():
    """But for where it runs."""
    own, launch = (yaml.safe_load((PROJECT / "conf" / f"{name}.yaml").read_text()) for name in ("submit", "launch"))
    changed = {"submit_schema": "launch_schema"}
    own_defaults = [changed.get(one, one) if isinstance(one, str) else one for one in own["defaults"]]
    own_defaults = [{"cluster": "local"} if one == {"cluster": "slurm"} else one for one in own_defaults]
    assert [one for one in own_defaults if one != {"slurm": "default"}] == launch["defaults"]


@pytest.mark.parametrize("template", sorted((PROJECT / "jobs").glob("*.sbatch")), ids=lambda path: path.name)
def test_templates_are_read_by_bash_and_accepted_by_sbatch(slurm, template, tmp_path):
    subprocess.run(["bash", "-n", template], check=True)
    smaller = ["--gpus-per-node=0", "--cpus-per-task=1", "--mem=100", "--time=10", "--partition=main", "--nodes=1"]
    done = slurm.run("sbatch", "--test-only", *smaller, f"--chdir={tmp_path}", str(template), check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
