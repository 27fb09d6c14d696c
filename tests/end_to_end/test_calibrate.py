"""A calibration of the demo model, small, and the launch that uses it; with one process and with two ranks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestrator.project import PROJECT

SMALL = ["denoise.num_steps=10", "video.height=32", "video.width=32", "video.num_frames=5"]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("a large red circle\na large blue square\na small white ring\n")
    return file


@pytest.fixture(scope="module")
def calibrate(tmp_path_factory, command_environment, model_folder, prompts):
    """`calibrate("name", …)`: run the command with a copy of conf/, as it writes there; the process and its file."""
    project = tmp_path_factory.mktemp("project")
    for folder in ("conf", "orchestrator", "spectrum", "parallel"):
        shutil.copytree(PROJECT / folder, project / folder)

    def run(name: str, *arguments: str):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "orchestrator.calibrate", "+job=demo", f"name={name}", *SMALL),
                *("cluster=none", "parallel=auto", "num_full=4", "fit_videos=2", "trial_videos=1"),
                *(f"model.path={model_folder}", f"batch={prompts}", f"output={project}/run", *arguments),
            ],
            cwd=project,
            env=command_environment(PYTHONPATH=str(project)),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done, project / "conf" / "forecast" / f"{name}.yaml"

    return run


@pytest.fixture(scope="module")
def calibrated(calibrate):
    done, file = calibrate("mine", "budgets=false")
    assert done.returncode == 0, done.stderr
    return done, file


def test_help_is_that_of_a_calibration(command_environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.calibrate", "--help"],
        env=command_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == ""
    for part in ("python -m orchestrator.calibrate +job=JOB name=NAME", "fit_videos=8", "trial_videos: 6"):
        assert part in done.stdout


def test_calibration_composes_what_launch_composes():
    own, launch = (
        yaml.safe_load((PROJECT / "conf" / f"{name}.yaml").read_text()) for name in ("calibrate", "launch")
    )
    assert own["defaults"] == ["calibrate_schema", *launch["defaults"][1:]]
    assert {**own["hydra"], "help": None} == {**launch["hydra"], "help": None}


@pytest.fixture
def use(calibrated, command_environment, model_folder, tmp_path):
    """Launch with the calibration."""
    _, file = calibrated

    def run(*arguments: str, forecast: str = "mine") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "orchestrator.launch", "+job=demo", "cluster=none", "parallel=auto"),
                *(*SMALL, "prompt=a red circle", f"forecast={forecast}", f"model.path={model_folder}", *arguments),
                f"output={tmp_path}/run",
            ],
            cwd=file.parents[2],
            env=command_environment(PYTHONPATH=str(file.parents[2])),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_calibration_is_written_with_what_it_holds_for(calibrated):
    done, file = calibrated
    written = yaml.safe_load(file.read_text())
    assert written["plan_shape"] == "calibrated" and written["features"] == "velocity"
    made_for = written["calibration"]["made_for"]
    assert (made_for["num_steps"], made_for["guidance_scale"]) == (10, 5.0)
    assert len(written["calibration"]["full_steps"]) == 4
    assert "forecast=mine" in done.stderr


def test_candidates_are_listed_best_first_and_what_takes_too_many_full_rounds_last(calibrated):
    """The paper's plan begins with five full rounds, and has more than four of ten."""
    done, _ = calibrated
    lines = [line.split() for line in done.stderr.splitlines() if " dB, worst" in line]
    marks = [float(mean) + float(worst.rstrip(",")) for mean, _, _, worst, *_ in lines]
    assert [line[6] for line in lines[:-1]] == ["4.0"] * (len(lines) - 1)
    assert lines[-1][6:] == ["6.0", *["the", "paper's", "method", "and", "plan"]]
    assert len(marks) > 10
    assert marks[:-1] == pytest.approx(sorted(marks[:-1], reverse=True), abs=0.2), "printed with one digit"


def test_launch_follows_the_calibrated_plan(use, calibrated):
    _, file = calibrated
    steps = yaml.safe_load(file.read_text())["calibration"]["full_steps"]
    done = use()
    assert done.returncode == 0, done.stderr
    assert f"4 full of 10 ({yaml.safe_load(file.read_text()).get('method', 'spectrum')}): " in done.stderr
    assert " ".join(map(str, steps)) in done.stderr


def test_budget_is_found_used_and_refused_elsewhere(calibrate, use):
    done, file = calibrate("budget", "plans=false", "features=hidden")
    assert done.returncode == 0, done.stderr
    tried = [line for line in done.stderr.splitlines() if " dB, worst" in line]
    assert len(tried) > 3 and sum("error budget" in line for line in tried) == len(tried) - 1
    written = yaml.safe_load(file.read_text())
    launched = use("dry_run=true", forecast="budget")
    assert launched.returncode == 0, launched.stderr
    assert f"an error budget of {written['error_budget']:g}" in launched.stdout + launched.stderr
    refused = use("denoise.guidance_scale=7", forecast="budget")
    assert refused.returncode == 2 and "forecast.calibration was made for" in refused.stderr


def test_fewer_full_rounds_than_can_be_had_write_nothing_and_render_no_candidate(calibrate):
    """Of ten steps: the paper's plan takes six, and gaps under a budget grow too slowly for two."""
    done, file = calibrate("dear", "plans=false", "num_full=2")
    assert done.returncode == 2
    assert "num_full=2 is less than any candidate takes: the fewest full rounds are 6, of the paper's" in done.stderr
    assert "rendering 2 videos" in done.stderr and "candidates" not in done.stderr.replace("any candidate", "")
    assert "Traceback" not in done.stderr and not file.exists()


@pytest.mark.parametrize("change", ["denoise.guidance_scale=7", "denoise.flow_shift=5"])
def test_calibration_for_something_else_is_refused_unless_told_otherwise(use, change):
    refused = use(change)
    assert refused.returncode == 2
    assert "forecast.calibration was made for" in refused.stderr and "forecast.anywhere=true" in refused.stderr
    assert use(change, "forecast.anywhere=true", "dry_run=true").returncode == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"prompt": "one"}, {"prompt": "two", "guidance_scale": 9}, {"prompt": "three"}],
            "guidance_scale=9.0 in the batch, of 'two', is not denoise.guidance_scale=5.0",
        ),
        ([{"prompt": "one", "seeds": 8}], "need 3 different prompts, the batch has 1"),
    ],
)
def test_batch_that_a_calibration_cannot_be_made_from_is_refused(calibrate, tmp_path, rows, message):
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    done, _ = calibrate("other", f"batch={file}", "dry_run=true")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_calibration_may_be_told_to_replace_one_and_to_start_from_any_forecast(calibrate):
    done, _ = calibrate("spectrum", "overwrite=true", "forecast=tiny_wan_14", "dry_run=true")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["name=../elsewhere"], "name=../elsewhere must be letters"),
        (["num_full=10"], "num_full=10 must lie in 2..9"),
        (["fit_videos=9"], "need 10 different prompts, the batch has 3"),
        (["token_stride=0"], "token_stride=0 must be at least 1"),
        (["plans=false", "budgets=false"], "plans=false and budgets=false leave nothing to try"),
        (["name=spectrum"], "name=spectrum is taken: "),
        (["features=colour"], "features=colour must be one of: hidden, velocity"),
    ],
)
def test_bad_input_is_one_line(calibrate, arguments, message):
    done, _ = calibrate("other", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
