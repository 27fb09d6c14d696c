"""What the fault benchmark reads out of logs, files and processes."""

import io
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.fault import Fault, Hit, search_resumption
from benchmarks.fault_launch import Launch, Line, Work, newest_kept, steps_under_way
from benchmarks.fault_position import can_look, look
from benchmarks.fault_report import print_report
from orchestrator.artifacts import RunFolder
from orchestrator.checkpoint_store import new_generation, publish_manifest

pytestmark = pytest.mark.alone

A, B = "a" * 16, "b" * 16
STARTED = (
    "12:00:01  gang 0  ready on node",
    f"12:00:02  gang 0  {A}  encode  step 0/50  ETA –",
    f"12:00:03  gang 0  {A}  denoise  step 0/50  full  ETA –",
    f"12:00:03  decoder 0  {B}  decode  step 50/50  ETA 3.0 s",
)
LOST = "12:00:09  gang 0  lost: rank 1 on node died: … (at denoise, denoise  step 25/50  full + 5 forecast); it is …"


def launch_that_said(*texts: str, began: float = 100.0) -> Launch:
    process = SimpleNamespace(pid=-1)
    return Launch(
        process=process, began=began, lines=[Line(at=began + index, text=text) for index, text in enumerate(texts)]
    )


def fault(**changes) -> Fault:
    hits = {
        "gang 0": Hit(video_id=A, seconds=1.5, kept_step=20, step=25),
        "decoder 0": Hit(video_id=B, seconds=0.5, kept_step=None),
    }
    return Fault(
        **{"target": "rank", "signal": "SIGKILL", "at": 103.5, "stage": "full round", "hits": hits} | changes
    )


def test_gangs_are_at_work_until_their_video_is_done_or_they_are_lost():
    at_work = launch_that_said(*STARTED).at_work()
    assert at_work == {"gang 0": Work(video_id=A, began=101.0), "decoder 0": Work(video_id=B, began=103.0)}
    assert launch_that_said(*STARTED, LOST).at_work().keys() == {"decoder 0"}
    done = f"12:00:05  decoder 0  {B}  done in 0.9 s  1/4  ETA 1.2 s  /x/video.mp4"
    assert launch_that_said(*STARTED, done).at_work().keys() == {"gang 0"}
    assert launch_that_said(*STARTED, "Ray's raylet (process 3) died, and all gangs with it; …").at_work() == {}


def test_gang_that_was_lost_resumes_with_the_next_work_on_its_video(tmp_path):
    one = fault()
    assert not search_resumption(one, launch_that_said(*STARTED), tmp_path)
    assert not search_resumption(one, launch_that_said(*STARTED, LOST), tmp_path)
    again = f"12:00:20  gang 1  {A}  denoise  step 20/50  full  ETA –"
    other = f"12:00:19  gang 1  {B}  denoise  step 3/50  full  ETA –"
    assert search_resumption(one, launch_that_said(*STARTED, LOST, other, again), tmp_path)
    assert one.seconds_to_resume == pytest.approx(106 - 103.5)
    assert set(one.hits) == {"gang 0"}, "the decode worker was not hit"
    assert (one.seconds_lost, one.steps, one.steps_lost) == (1.5, [25], 5)
    assert "full round in the segment from step 25" in one.describe()


def test_log_says_whether_it_was_a_rank_or_the_decode_worker(tmp_path):
    one = fault()
    lost = "12:00:09  decoder 0  lost: rank 0 on node died: … (at publish, publish  step 50/50); it is …"
    search_resumption(one, launch_that_said(*STARTED, lost), tmp_path)
    assert (one.target, set(one.hits)) == ("decode worker", {"decoder 0"})


def test_driver_that_died_resumes_in_a_later_launch(tmp_path):
    one = fault(target="driver")
    assert not search_resumption(one, launch_that_said(*STARTED, f"gang 0  {A}  denoise  step 4/50"), tmp_path)
    later = launch_that_said("starting Ray", *STARTED, began=110.0)
    assert search_resumption(one, later, tmp_path)
    assert one.seconds_to_resume == pytest.approx(112 - 103.5)


def test_driver_that_was_frozen_loses_nothing(tmp_path):
    one = fault(target="driver", signal="SIGSTOP")
    assert search_resumption(one, launch_that_said(*STARTED, f"gang 0  {A}  denoise  step 4/50"), tmp_path)
    assert (one.seconds_lost, one.steps_lost) == (0.0, 0)


def test_work_since_the_newest_checkpoint_is_what_is_lost(tmp_path):
    folder = RunFolder(tmp_path).video(A)
    began = time.time() - 100
    assert Hit.of(Work(video_id=A, began=began), tmp_path, at=began + 30, step=3).seconds == pytest.approx(30)
    generation = new_generation(folder.checkpoints)
    generation.mkdir(parents=True)
    publish_manifest(generation, step=20, layout="one rank", files={})
    os.utime(generation / "manifest.json", (began + 25, began + 25))
    hit = Hit.of(Work(video_id=A, began=began), tmp_path, at=began + 30, step=25)
    assert hit.seconds == pytest.approx(5, abs=0.01)
    assert (hit.kept_step, hit.step) == (20, 25)
    folder.latents.touch()
    kept = newest_kept(folder)
    assert kept is not None and kept.step is None


def test_steps_come_from_the_launchs_own_file_where_it_speaks_of_what_is_denoised_now(tmp_path):
    at_work = {gang: Work(video_id=video_id, began=0.0) for gang, video_id in {"gang 0": A, "gang 1": B}.items()}
    assert steps_under_way(tmp_path, at_work) == {}
    path = RunFolder(tmp_path).launch_progress("all")
    path.parent.mkdir()
    gangs = {
        "gang 0": {"step": 11, "video_id": A, "stage": "denoise"},
        "gang 1": {"step": 49, "video_id": A, "stage": "denoise"},
        "gang 2": {"step": 3, "video_id": B, "stage": "denoise"},
    }
    path.write_text(json.dumps({"gangs": gangs}))
    assert steps_under_way(tmp_path, at_work) == {"gang 0": 11}
    path.write_text(json.dumps({"gangs": {"gang 0": {**gangs["gang 0"], "stage": "encode"}}}))
    assert steps_under_way(tmp_path, at_work) == {}


@pytest.mark.skipif(not can_look(), reason="this system lets no process look into another, or py-spy is missing")
def test_stage_is_read_out_of_a_process(tmp_path):
    """A file of the product's name, with functions of the product's names."""
    script = tmp_path / "orchestrator" / "engine.py"
    script.parent.mkdir()
    script.write_text(
        "import time\n"
        "def _forecast_round():\n    print('x', flush=True)\n    time.sleep(60)\n"
        "def run_segment():\n    _forecast_round()\n"
        "run_segment()\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        stage = look(process.pid)
        process.kill()
    assert stage == "forecast round"
    assert look(process.pid) == "unknown", "it is gone"


def test_report_has_a_row_for_each_kind_and_stage():
    faults = [
        fault(seconds_to_resume=4.0),
        fault(seconds_to_resume=8.0),
        fault(target="driver", seconds_to_resume=30.0),
    ]
    console = Console(file=io.StringIO(), width=150)
    campaign = SimpleNamespace(faults=faults, num_launches=2, seconds_to_die=[3.0])
    print_report(console, campaign, seconds=600.0)
    shown = console.file.getvalue()
    assert "| rank killed | 2 | 6.0 | 8.0 | 1.5 | 1.5 |" in shown
    assert "| driver killed, launched again | 1 | 30.0 | 30.0 | 1.5 | 1.5 |" in shown
    assert "| full round | 2 | 1 |" in shown
    assert "3 faults in 2 launches" in shown
