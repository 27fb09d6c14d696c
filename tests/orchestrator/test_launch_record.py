"""What a launch leaves in files of itself: whole at any moment, cheap, and gone when it has ended."""

import json
import os
import time
from dataclasses import replace

import pytest

from orchestrator import launch_record
from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry, name_entries
from orchestrator.launch_record import LaunchRecord, publish_entries
from orchestrator.reports import Stage
from orchestrator.role import Role
from orchestrator.row_requests import Draft
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress
from spectrum import Round

pytestmark = pytest.mark.alone

PROVENANCE = Provenance(job_name="demo", command="pytest", git_revision=None)
AT = GangProgress(
    video_id="a" * 16, prompt="a", stage=Stage.DENOISE, num_steps=50, step=3, segment_end=6, round=Round.FULL
)


@pytest.fixture
def run_folder(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(launch_record, "WRITE_SECONDS", 0.02)


@pytest.fixture
def record(run_folder, quick):
    record = LaunchRecord(run_folder, "all")
    record.open()
    yield record
    record.close()


def wait_until(condition, *, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def said(run_folder) -> dict:
    path = run_folder.launch_progress("all")
    wait_until(path.exists)
    return json.loads(path.read_text())


def test_entries_are_written_in_their_order_with_what_people_know_them_by(run_folder, make_request):
    drafts = [Draft(make_request(seed=seed, prompt='🎈\n"x"'), f"name {seed}", seed) for seed in (3, 1, 2)]
    entries = name_entries(drafts, model_fingerprint="m", dtype="float32")
    publish_entries(run_folder, "2-of-3", entries.values(), PROVENANCE)
    launch, *lines = map(json.loads, run_folder.launch_entries("2-of-3").read_text().splitlines())
    assert (launch["job_name"], launch["pid"]) == ("demo", os.getpid())
    assert [line["video_id"] for line in lines] == list(entries)
    assert lines[0] == {
        "video_id": next(iter(entries)),
        "name": "name 3",
        "priority": 3,
        "seed": 3,
        "prompt": '🎈\n"x"',
    }
    assert [path.name for path in run_folder.launches.iterdir()] == ["2-of-3.jsonl"]


def test_entry_that_is_none_of_the_batch_says_so(run_folder, make_request):
    entries = [BatchEntry("a" * 16, make_request()), BatchEntry("b" * 16, make_request(), role=Role.REFERENCE)]
    publish_entries(run_folder, "all", entries, PROVENANCE)
    _, *lines = map(json.loads, run_folder.launch_entries("all").read_text().splitlines())
    assert [line.get("role") for line in lines] == [None, "reference"]


def test_nothing_is_written_before_it_is_opened_and_nothing_stays(run_folder, quick):
    record = LaunchRecord(run_folder, "all")
    record.starting("loading the model")
    record.close()
    assert not run_folder.root.exists()
    record = LaunchRecord(run_folder, "all")
    record.starting("loading the model")
    record.open()
    assert said(run_folder)["phase"] == "loading the model"
    record.close()
    assert list(run_folder.launches.iterdir()) == []


def test_file_says_what_each_gang_does_since_when_and_where(record, run_folder):
    record.starting("loading")
    record.gang_ready("gang 0", ["node a", "node b"])
    record.batch_begins(total=3, done=1)
    record.gang_at("gang 0", AT)
    wait_until(lambda: said(run_folder)["gangs"])
    found = said(run_folder)
    assert found["phase"] == "rendering"
    at = found["gangs"]["gang 0"]
    assert (at["stage"], at["step"], at["num_steps"], at["round"]) == ("denoise", 3, 50, "full")
    assert (at["video_id"], at["nodes"]) == ("a" * 16, ["node a", "node b"])
    record.gang_at("gang 0", replace(AT, step=6))
    wait_until(lambda: said(run_folder)["gangs"]["gang 0"]["step"] == 6)
    assert said(run_folder)["gangs"]["gang 0"]["stage_since"] == at["stage_since"]
    record.gang_at("gang 0", replace(AT, stage=Stage.DECODE))
    wait_until(lambda: said(run_folder)["gangs"]["gang 0"]["stage"] == "decode")
    later = said(run_folder)["gangs"]["gang 0"]
    assert later["stage_since"] > at["stage_since"] and later["video_since"] == at["video_since"]
    record.gang_idle("gang 0")
    wait_until(lambda: not said(run_folder)["gangs"])


def test_last_of_many_segments_is_written_and_few_of_the_others(run_folder, monkeypatch):
    """However fast they follow each other."""
    monkeypatch.setattr(launch_record, "WRITE_SECONDS", 0.2)
    written = []
    replace_json = launch_record.replace_json
    monkeypatch.setattr(
        launch_record, "replace_json", lambda path, value: (written.append(value), replace_json(path, value))
    )
    record = LaunchRecord(run_folder, "all")
    record.open()
    record.starting("loading")
    begin = time.monotonic()
    for step in range(2000):
        record.gang_at(f"gang {step % 8}", replace(AT, step=step))
    took = time.monotonic() - begin
    wait_until(lambda: said(run_folder)["gangs"].get("gang 7", {}).get("step") == 1999)
    assert len(written) <= took / 0.2 + 3
    record.close()


def test_file_of_a_long_round_stays_young(record, run_folder, monkeypatch):
    monkeypatch.setattr(launch_record, "HEARTBEAT_SECONDS", 0.05)
    record.starting("a round of minutes")
    wait_until(lambda: said(run_folder)["phase"] == "a round of minutes")
    path = run_folder.launch_progress("all")
    os.utime(path, (0, 0))
    wait_until(lambda: path.stat().st_mtime > 1000)


def test_every_read_is_whole(record, run_folder, monkeypatch):
    monkeypatch.setattr(launch_record, "WRITE_SECONDS", 0.0)
    record.starting("loading")
    for step in range(200):
        record.gang_at(f"gang {step % 50}", replace(AT, step=step))
        assert "gangs" in said(run_folder)


def test_file_that_cannot_be_written_is_a_warning_and_no_end(run_folder, quick, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    record = LaunchRecord(run_folder, "all")
    with monkeypatch.context() as patch:
        patch.setattr(launch_record, "replace_json", full)
        record.starting("loading")
        record.open()
        wait_until(lambda: "No space left on device" in caplog.text)
        time.sleep(0.1)
    assert said(run_folder)["phase"] == "loading", "it goes on once there is room"
    assert caplog.text.count("No space left") == 1
    record.close()
