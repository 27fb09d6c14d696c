"""The command that says beforehand what a batch takes."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def estimate(tmp_path_factory, command_environment):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator.estimate", *arguments],
            cwd=tmp_path_factory.mktemp("cwd"),
            env=command_environment(HF_HUB_OFFLINE="1"),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return run


WAN = ("+job=wan_t2v", "estimate.gpu=H100", "estimate.gpus=8")


def test_batch_of_a_model_that_is_not_here_is_estimated(estimate):
    done = estimate(*WAN, "cost.gpu_hour=2.5", "prompt=a fox (red), running: 100%")
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "1 videos",
        "8 ranks (cfg 2 × ulysses 4) on H100",
        "GPU-hours",
        "at cost.gpu_hour=2.5",
        "slurm.time=",
    ):
        assert part in done.stdout


def test_job_for_slurm_is_estimated_with_its_own_settings(estimate):
    done = estimate("+job=wan_t2v", "cluster=slurm", "estimate.gpu=h200", "slurm.nodes=2", "slurm.array=4", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["gangs"]["device"] == "H200" and said["gangs"]["tasks"] == 4 and said["gpus"] == 16


def test_what_does_not_fit_ends_as_bad_input_does(estimate):
    done = estimate("+job=wan_t2v", "estimate.gpu=H100", "estimate.gpus=1", "video=720p", "model.dtype=float32")
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("error: 720x1280") and "nearest that fits: model.dtype=bfloat16" in line


def test_help_says_what_an_estimate_rests_on_and_takes(estimate):
    done = estimate("--help")
    assert done.returncode == 0
    for part in (
        "python -m orchestrator.estimate +job=NAME",
        "estimate.measured=",
        "cost.gpu_hour",
        "--json",
        "records",
    ):
        assert part in done.stdout


def test_demo_is_estimated_without_rendering_anything(estimate, tmp_path):
    done = estimate("+job=demo", f"output={tmp_path / 'run'}", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["videos"] == {"total": 4, "left": 4} and said["gpus"] == 0
    [kind] = said["kinds"]
    assert kind["num_full_rounds"] == 14 and "timed here just now" in kind["basis"]
    assert not (tmp_path / "run").exists()
