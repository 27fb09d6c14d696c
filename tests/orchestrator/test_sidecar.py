"""The record of a finished video."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import VideoFolder, sha256_of
from orchestrator.choices import Device, DType
from orchestrator.launch_plan import ModelSpec
from orchestrator.rank import RankSpec
from orchestrator.reports import RoundReport, Stage
from orchestrator.sidecar import (
    SIDECAR_VERSION,
    Provenance,
    Result,
    command_line,
    estimated_speedup,
    git_revision,
    layout_record,
    publish_sidecar,
)
from parallel.layout import AttentionEngine, Layout
from spectrum import Round

PROVENANCE = Provenance(job_name="demo", command="python -m orchestrator.launch", git_revision="0" * 40)


def rounds_of(*, full: list[float], forecast: list[float]) -> tuple[RoundReport, ...]:
    kinds = [(Round.FULL, seconds) for seconds in full] + [(Round.FORECAST, seconds) for seconds in forecast]
    return tuple(RoundReport(step=step, kind=kind, seconds=seconds) for step, (kind, seconds) in enumerate(kinds))


RANK = RankSpec(
    rank=0,
    layout=Layout(cfg=2, ulysses=2),
    engine=AttentionEngine.XFUSER,
    uneven=False,
    shard_blocks=True,
    decode_parallel=True,
    embeddings=Path("embeddings"),
    model=ModelSpec(
        name="tiny_wan",
        folder=Path("model"),
        fingerprint="f",
        dtype=DType.BFLOAT16,
        max_sequence_length=24,
        text_device=Device.CPU,
    ),
    device=Device.CPU,
    device_index=0,
    num_threads=1,
    loads_decoder=True,
)


@pytest.fixture
def result(make_request, tmp_path) -> Result:
    return Result(
        video_id="0123456789abcdef",
        request=make_request(prompt='Ünïcode 🎈 "quoted"\nline'),
        stage_seconds={Stage.ENCODE: 1.0, Stage.DENOISE: 10.0, Stage.DECODE: 2.0, Stage.PUBLISH: 1.0},
        rounds=rounds_of(full=[4.0, 4.0], forecast=[1.0, 1.0]),
        peak_memory_bytes=123,
        rank=RANK,
        layout=layout_record(RANK),
        device="cpu",
    )


@pytest.fixture
def record(result, tmp_path) -> dict:
    folder = VideoFolder(tmp_path)
    folder.video.write_bytes(b"frames")
    publish_sidecar(folder, result, PROVENANCE)
    assert folder.is_done
    return folder.read_sidecar()


def test_record_says_what_was_asked_for(record, result):
    assert record["sidecar_version"] == SIDECAR_VERSION
    assert record["video_id"] == result.video_id
    assert record["request"] == json.loads(json.dumps(result.request.as_json()))
    assert record["request"]["prompt"] == 'Ünïcode 🎈 "quoted"\nline'


def test_record_says_how_it_was_made(record):
    assert record["layout"] == {
        **{"cfg": 2, "ring": 1, "ulysses": 2, "ranks": 4},
        **{"engine": "xfuser", "shard_blocks": True},
    }
    assert record["decode"] == {"parallel": True, "worker": False, "device": "cpu", "tiling": False}
    assert record["model"]["dtype"] == "bfloat16"
    assert record["plan"] == ["full", "full", "forecast", "forecast"]
    assert record["num_full_rounds"] == 2
    assert record["seconds"]["total"] == pytest.approx(14)
    assert record["seconds"]["stages"] == {"encode": 1.0, "denoise": 10.0, "decode": 2.0, "publish": 1.0}
    assert record["seconds"]["rounds"] == [4.0, 4.0, 1.0, 1.0]
    assert record["peak_memory_bytes"] == 123
    assert record["provenance"]["packages"]["torch"].startswith("2.")
    assert record["provenance"]["git_revision"] == "0" * 40


@pytest.mark.parametrize("error", [float("nan"), float("inf")])
def test_an_error_that_is_not_finite_is_null_as_json_knows_no_other(result, tmp_path, error):
    errors = [None, error, 0.25, None]
    rounds = tuple(replace(one, forecast_error=of_one) for one, of_one in zip(result.rounds, errors, strict=True))
    folder = VideoFolder(tmp_path)
    folder.video.write_bytes(b"frames")
    publish_sidecar(folder, replace(result, rounds=rounds), PROVENANCE)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads(folder.sidecar.read_text(encoding="utf-8"), parse_constant=refuse)
    assert record["forecast_errors"] == {"1": None, "2": 0.25}


def test_record_holds_the_videos_hash(record, tmp_path):
    assert record["files"]["video"] == {"name": "video.mp4", "sha256": sha256_of(tmp_path / "video.mp4")}


def test_file_can_be_read_by_people(record, tmp_path):
    text = (tmp_path / "video.json").read_text(encoding="utf-8")
    assert "🎈" in text
    assert len(text.splitlines()) > 20


def test_record_without_the_video_is_not_written(result, tmp_path):
    with pytest.raises(FileNotFoundError):
        publish_sidecar(VideoFolder(tmp_path), result, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_speedup_counts_what_the_forecasts_have_spared():
    """Two rounds of 4 s and two of 1 s in 14 s: 6 s spared, so 20 s with all rounds full."""
    stages = {Stage.ENCODE: 1.0, Stage.DENOISE: 10.0, Stage.DECODE: 3.0}
    assert estimated_speedup(stages, rounds_of(full=[4.0, 4.0], forecast=[1.0, 1.0])) == pytest.approx(20 / 14)


def test_first_round_that_was_slow_does_not_count_for_those_spared():
    rounds = rounds_of(full=[100.0, 4.0, 4.0], forecast=[1.0])
    assert estimated_speedup({Stage.DENOISE: 109.0}, rounds) == pytest.approx(112 / 109)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_no_forecasts_no_speedup(full):
    assert estimated_speedup({Stage.DENOISE: sum(full)}, rounds_of(full=full, forecast=[])) == 1


def test_revision_is_that_of_the_checkout():
    revision = git_revision()
    if revision is None:
        pytest.skip("the project is no git checkout")
    assert len(revision.removesuffix("-dirty")) == 40


def test_there_is_no_revision_outside_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.sidecar.PROJECT", tmp_path)
    assert git_revision() is None


def test_there_is_no_revision_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() is None


def test_command_can_be_typed_again(monkeypatch):
    arguments = ["-m", "orchestrator.launch", "+job=demo", 'prompt=it\'s $x, "quoted"\nand broken']
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", *arguments])
    assert shlex.split(command_line())[1:] == arguments
    assert "/" not in shlex.split(command_line())[0]
