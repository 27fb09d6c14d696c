"""The whole path without Ray, in this process: real model, real files."""

import io
import json
import os
import shutil
import time

import imageio.v3 as imageio
import pytest
import torch
from PIL import Image
from rich.console import Console

from orchestrator.artifacts import sha256_of
from orchestrator.launch_plan import plan_launch
from orchestrator.local_pool import LocalPool
from orchestrator.pool import Command, GangReady
from orchestrator.reports import Stage
from orchestrator.run import run_plan
from spectrum import Round


def run(config):
    plan = plan_launch(config)
    assert not run_plan(plan, console=Console(file=io.StringIO())).failed
    return plan


def outcome_of(config):
    """Of a launch whose videos may fail; each is tried once."""
    config.retry.max_attempts = 1
    return run_plan(plan_launch(config), console=Console(file=io.StringIO()))


@pytest.fixture
def two_prompts(config, tmp_path):
    (tmp_path / "prompts.txt").write_text("a large red circle\na large blue square\n")
    config.prompt, config.batch = None, str(tmp_path / "prompts.txt")
    config.denoise.num_steps = 6
    config.video.height = config.video.width = 64
    config.video.num_frames = 5
    return config


def state_of(folder) -> dict[str, tuple[int, int, str]]:
    """Inode, time and content of every file: what a rewritten file cannot keep."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, sha256_of(path)) for path in folder.root.iterdir()
    }


def test_batch_becomes_videos_with_previews_and_records(two_prompts, tmp_path):
    plan = run(two_prompts)
    assert {path.name for path in plan.run_folder.root.iterdir()} >= set(plan.requests)
    for name, request in plan.requests.items():
        folder = plan.run_folder.video(name)
        assert {path.name for path in folder.root.iterdir()} == {"video.mp4", "preview.png", "video.json"}
        assert imageio.imread(folder.video, plugin="FFMPEG").shape == (5, 64, 64, 3)
        assert Image.open(folder.preview).text["Description"] == request.prompt
        record = folder.read_sidecar()
        assert record["video_id"] == name
        assert record["request"]["prompt"] == request.prompt
        assert record["files"]["video"]["sha256"] == sha256_of(folder.video)
        assert record["plan"] == [kind.value for kind in request.forecast.plan(6)]
        assert len(record["seconds"]["rounds"]) == 6
        assert set(record["seconds"]["stages"]) == {stage.value for stage in Stage}
        assert record["layout"]["ranks"] == 1
        assert record["peak_memory_bytes"] > 2**20
        # Last, so that its presence means done.
        times = {path.name: path.stat().st_mtime_ns for path in folder.root.iterdir()}
        assert max(times, key=times.get) == "video.json"


def test_second_launch_touches_nothing_that_is_done_and_renders_what_lacks_its_record(two_prompts):
    plan = run(two_prompts)
    kept, broken = (plan.run_folder.video(name) for name in plan.requests)
    before, digest = state_of(kept), sha256_of(broken.video)
    broken.sidecar.unlink()
    broken.video.write_bytes(b"half of a vid")
    time.sleep(0.01)
    run(two_prompts)
    assert state_of(kept) == before
    assert broken.is_done
    assert sha256_of(broken.video) == digest, "the same request gives the same bytes"
    all_done = state_of(broken)
    run(two_prompts)
    assert state_of(broken) == all_done


def test_launch_with_nothing_to_do_loads_no_model(two_prompts, monkeypatch):
    run(two_prompts)
    monkeypatch.setattr("orchestrator.local_pool.LocalPool.__init__", lambda *_: pytest.fail("the model was loaded"))
    run(two_prompts)


def test_record_that_cannot_be_written_leaves_the_video_to_be_done_again(two_prompts, monkeypatch):
    """The disk breaks between the mp4 and the record; one that is full ends the launch."""

    def broken(*_arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.worker.publish_sidecar", broken)
        outcome = outcome_of(two_prompts)
    assert len(outcome.failed) == 2 and "Input/output error" in next(iter(outcome.failed.values()))
    two_prompts.retry.failed = True
    plan = plan_launch(two_prompts)
    first = plan.run_folder.video(next(iter(plan.requests)))
    assert first.video.is_file() and not first.is_done
    run(two_prompts)
    assert all(plan.run_folder.video(name).is_done for name in plan.requests)


def test_decode_that_runs_out_of_memory_costs_no_latents(two_prompts, monkeypatch):
    """The next launch decodes what the failed one has denoised, to the same bytes, and says how long that took."""
    undisturbed = run(two_prompts)
    first = undisturbed.run_folder.video(next(iter(undisturbed.requests)))
    expected, steps = sha256_of(first.video), len(first.read_sidecar()["plan"])
    shutil.rmtree(undisturbed.run_folder.root)

    def out_of_memory(*_arguments, **_options):
        raise torch.OutOfMemoryError("tried to allocate too much")

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.worker.decode_latents", out_of_memory)
        outcome = outcome_of(two_prompts)
    assert all("latents are on the disk" in cause for cause in outcome.failed.values())
    assert all("(parallel.ranks) and decode.parallel=true" in cause for cause in outcome.failed.values())
    two_prompts.retry.failed = True
    assert first.latents.is_file() and not first.is_done
    (first.checkpoints / "000001").mkdir(parents=True)  # of a rank that was killed once it had kept the latents
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.engine.Engine.run_segment", lambda *_: pytest.fail("it was denoised again"))
        two_prompts.prompt, two_prompts.batch = undisturbed.requests[first.root.name].prompt, None
        run(two_prompts)
    assert sha256_of(first.video) == expected
    record = first.read_sidecar()
    assert len(record["plan"]) == steps and record["seconds"]["stages"]["denoise"] > 0
    assert not first.latents.exists() and not first.checkpoints.exists()


def test_denoising_that_runs_out_of_memory_says_what_to_change(two_prompts, monkeypatch):
    def out_of_memory(*_arguments):
        raise torch.OutOfMemoryError("tried to allocate too much")

    monkeypatch.setattr("orchestrator.engine.Engine.run_segment", out_of_memory)
    outcome = outcome_of(two_prompts)
    assert len(outcome.failed) == 2
    for cause in outcome.failed.values():
        assert cause.startswith("RenderMemoryError: denoising ran out of GPU memory: with more ranks in each gang")


def test_pool_answers_command_by_command(config):
    config.denoise.num_steps = 7
    config.video.height = config.video.width = 32
    plan = plan_launch(config)
    pool = LocalPool(plan)
    [gang] = pool.gangs
    [(name, request)] = plan.requests.items()
    assert isinstance(pool.next_event(0), GangReady)
    pool.submit(gang, Command("encode", (name, request)))
    reply = pool.next_event(0)
    assert (reply.gang, reply.report.stage) == (gang, Stage.ENCODE)
    kinds = []
    while not kinds or not reply.report.is_complete:
        pool.submit(gang, Command("denoise"))
        reply = pool.next_event(0)
        assert reply.report.stage is Stage.DENOISE
        kinds += [one.kind for one in reply.report.rounds]
    assert tuple(kinds) == request.forecast.plan(7).rounds
    assert Round.FORECAST in kinds
    pool.close()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("prompt", ["🎈 круг 円", "two\nlines", "[bold]$HOME ${x}", "x" * 5000, "the first\0nul"])
def test_any_prompt_renders(config, prompt):
    config.prompt, config.denoise.num_steps = prompt, 2
    config.video.height = config.video.width = 32
    config.video.num_frames = 1
    plan = run(config)
    [name] = plan.requests
    record = json.loads(plan.run_folder.video(name).sidecar.read_text(encoding="utf-8"))
    assert record["request"]["prompt"] == prompt


def test_threads_are_those_of_a_rank(config):
    config.cluster.cpus_per_rank = min(2, os.cpu_count())
    pool = LocalPool(plan_launch(config))
    assert torch.get_num_threads() == config.cluster.cpus_per_rank
    torch.set_num_threads(1)
    pool.close()


@pytest.mark.parametrize("left", [".tmp-abc123.mp4", "latents.safetensors", ".checkpoints/000001/rank-0.safetensors"])
def test_files_that_a_killed_launch_left_are_gone_after_the_next_one(two_prompts, left):
    """A temporary file, or the latents or a checkpoint of a video that was done but for their removal."""
    plan = run(two_prompts)
    done, broken = (plan.run_folder.video(name) for name in plan.requests)
    broken.sidecar.unlink()
    (done.root / left).parent.mkdir(parents=True, exist_ok=True)
    (done.root / left).write_bytes(b"half")
    run(two_prompts)
    assert {path.name for path in done.root.iterdir()} == {"video.mp4", "preview.png", "video.json"}
