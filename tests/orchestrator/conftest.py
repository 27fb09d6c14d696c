"""The demo model in this process, requests for it, and configurations as the command line gives them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from orchestrator.config import LaunchConfig
from orchestrator.request import Request, video_id
from spectrum import ForecastSettings

REQUEST = Request(
    prompt="a large red circle moving left on a dark blue background",
    negative_prompt="",
    seed=3,
    height=64,
    width=64,
    num_frames=9,
    fps=8,
    num_steps=8,
    guidance_scale=5.0,
    flow_shift=3.0,
    forecast=ForecastSettings(),
)


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """`make_request(seed=1)`: a request for the demo model, small and quick but for what is given."""

    def make(**changes: object) -> Request:
        return replace(REQUEST, **changes)

    return make


@pytest.fixture
def config(make_config: Callable[[Path], LaunchConfig], tmp_path: Path) -> LaunchConfig:
    """What `+job=demo cluster=none parallel=auto output=…` comes to; tests change it as they like."""
    return make_config(tmp_path)


@pytest.fixture(scope="session")
def make_config(model_folder: Path) -> Callable[[Path], LaunchConfig]:
    """`make_config(folder)`: a `config` whose output lies below the folder."""
    return lambda folder: _config(model_folder, folder)


def _config(model_folder: Path, folder: Path) -> LaunchConfig:
    config = LaunchConfig()
    config.job.name = "demo"
    config.prompt = REQUEST.prompt
    config.output = str(folder / "output")
    model, video = config.model, config.video
    model.name, model.path, model.num_attention_heads, model.dtype = "tiny_wan", str(model_folder), 8, "float32"
    model.max_sequence_length, model.needs_gpu, model.max_pixels, model.max_frames = 24, False, 192 * 192, 33
    video.height, video.width, video.num_frames, video.fps = 96, 96, 17, 8  # 180 tokens
    config.denoise.num_steps = REQUEST.num_steps
    config.cluster.kind, config.cluster.device = "none", "cpu"
    return config


@pytest.fixture(scope="session")
def pipe(model_folder: Path):
    """The stock diffusers pipeline with the demo model, float32. Tests that change it must change it back."""
    import torch
    from diffusers import WanPipeline

    pipe = WanPipeline.from_pretrained(model_folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def render_stock(pipe):
    """`render_stock(request)`: what the unwrapped pipeline makes of a request, latents by default."""
    import torch

    def render(request: Request, *, output_type: str = "latent"):
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, flow_shift=request.flow_shift)
        return pipe(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            height=request.height,
            width=request.width,
            num_frames=request.num_frames,
            num_inference_steps=request.num_steps,
            guidance_scale=request.guidance_scale,
            max_sequence_length=24,
            generator=torch.Generator().manual_seed(request.seed),
            output_type=output_type,
        ).frames

    return render


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Numbers of one thread are compared with such; and for tensors as small as these one is the fastest."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def not_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' own process is no rank, whatever has started it."""
    for variable in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(variable, raising=False)
    yield


@pytest.fixture(scope="session")
def make_batch(make_request):
    def make(size: int, **changes) -> dict:
        requests = [make_request(prompt=f"video {index}", **changes) for index in range(size)]
        return {video_id(request, model_fingerprint="m", dtype="float32"): request for request in requests}

    return make


@pytest.fixture
def write_run(tmp_path_factory) -> Callable[..., Path]:
    """`write_run(3, full=0.5)`: a run's folder with the records of finished videos, as far as they tell seconds."""
    return partial(_write_run, tmp_path_factory)


def _write_run(
    tmp_path_factory,
    number: int,
    *,
    full: float = 0.5,
    forecast: float | None = 0.1,
    pause: float = 0.0,
    at_once: int = 1,
    began: float | None = None,
    worker: bool = False,
    device: str = "cpu",
) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rounds = [("full", full)] * 4 + ([("forecast", forecast)] * 6 if forecast is not None else [])
    denoise = sum(seconds for _, seconds in rounds) + 0.05
    stages = {"encode": 0.02, "denoise": denoise, "decode": 0.4, "publish": 0.3}
    total = sum(stages.values())
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for index in range(number):
        finished = first + timedelta(seconds=(index // at_once) * (total + pause) + total)
        record = {
            "request": {
                **{"height": 96, "width": 96, "num_frames": 17, "guidance_scale": 5.0},
                "forecast": {"features": "hidden"},
            },
            "model": {"name": "tiny_wan", "fingerprint": "f", "dtype": "float32"},
            "layout": {"cfg": 1, "ring": 1, "ulysses": 2, "shard_blocks": False},
            "decode": {"parallel": False, "tiling": False, "worker": worker},
            "device": device,
            "plan": [kind for kind, _ in rounds],
            "resumed": [],
            "seconds": {"rounds": [seconds for _, seconds in rounds], "stages": stages},
            "peak_memory_bytes": 2**29,
            "provenance": {"finished": finished.isoformat(timespec="milliseconds"), "host": "node7"},
        }
        video = folder / f"{index:016x}"
        video.mkdir()
        (video / "video.json").write_text(json.dumps(record))
        (video / "video.mp4").touch()
    if began is not None:
        launch = {"process_began": (first - timedelta(seconds=began)).isoformat()}
        (folder / "launches").mkdir()
        (folder / "launches" / "all.jsonl").write_text(json.dumps(launch) + "\n")
    return folder
