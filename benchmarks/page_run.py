"""A run's folder with very many finished videos: sidecars of their own, and a few real mp4s behind all of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.artifacts import RunFolder
from orchestrator.batch import BatchEntry
from orchestrator.launch_record import publish_entries
from orchestrator.request import VIDEO_ID_LENGTH, Request
from orchestrator.sidecar import Provenance
from orchestrator.video_file import write_video
from spectrum import ForecastSettings, Round

PROVENANCE = Provenance(
    job_name="demo", command="python -m orchestrator.launch +job=demo batch=many.jsonl", git_revision=None
)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
COLOURS = ("red", "green", "blue", "white", "orange", "yellow")
SHAPES = ("circle", "square", "triangle", "ring")
NUM_FRAMES, FPS, SIDE = 17, 8, 96


def make_run(root: Path, prompts: Sequence[str], *, shard: str = "all", num_waiting: int = 0) -> list[str]:
    """Write a run of finished videos, and some that wait behind them; the ids of all, in the batch's order."""
    run_folder = RunFolder(root)
    movies = [root / "movies" / f"{index}.mp4" for index in range(len(COLOURS))]
    for index, movie in enumerate(movies):
        movie.parent.mkdir(parents=True, exist_ok=True)
        write_video(movie, moving_square(index), fps=FPS)
    entries = [_entry(index, prompt) for index, prompt in enumerate(prompts)]
    publish_entries(run_folder, shard, entries, PROVENANCE)
    for index, entry in enumerate(entries[: len(entries) - num_waiting]):
        folder = run_folder.video(entry.video_id)
        folder.root.mkdir()
        folder.video.hardlink_to(movies[index % len(movies)])
        folder.sidecar.write_text(json.dumps(sidecar_of(index, entry)), encoding="utf-8")
    return [entry.video_id for entry in entries]


def prompts_of(count: int) -> list[str]:
    """Such as "a red circle, take 17"."""
    return [
        f"a {COLOURS[index % 6]} {SHAPES[index // 6 % 4]} moving over a dark background, take {index}"
        for index in range(count)
    ]


def moving_square(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(frames, height, width, 3), another colour for each index."""
    frames = np.full((NUM_FRAMES, SIDE, SIDE, 3), 24, np.uint8)
    for number, frame in enumerate(frames):
        left = 4 + number * 3
        frame[30:60, left : left + 30] = np.array([(index * 67 + 90) % 256, (index * 131 + 60) % 256, 200], np.uint8)
    return frames


def sidecar_of(index: int, entry: BatchEntry) -> dict[str, Any]:
    """The record of a video that took some seconds of its own."""
    request = entry.request
    plan = request.forecast.plan(request.num_steps)
    kinds = [plan[step] for step in range(len(plan))]
    full_seconds = 0.2 + index * 7919 % 100 / 500
    rounds = [full_seconds if kind is Round.FULL else full_seconds / 60 for kind in kinds]
    stages = {"encode": 0.02, "denoise": sum(rounds), "decode": 0.4, "publish": 0.1}
    total = sum(stages.values())
    return {
        "sidecar_version": 2,
        "video_id": entry.video_id,
        "request": request.as_json(),
        "model": {"name": "tiny_wan", "dtype": "float32"},
        "layout": {"cfg": 1, "ring": 1, "ulysses": 2, "ranks": 2},
        "device": "cpu",
        "plan": [kind.value for kind in kinds],
        "num_full_rounds": plan.num_full,
        "forecast_errors": {str(step): 0.05 + step / 200 for step in plan.full_steps[1:]},
        "resumed": [],
        "fallback_steps": [],
        "seconds": {"total": total, "stages": stages, "rounds": rounds},
        "estimated_speedup": (total + full_seconds * (len(plan) - plan.num_full) - _forecast(kinds, rounds)) / total,
        "peak_memory_bytes": 650 * 2**20,
        "provenance": {
            "job": PROVENANCE.job_name,
            "command": PROVENANCE.command,
            "finished": (BEGAN + timedelta(seconds=4 * index)).isoformat(timespec="seconds"),
        },
    }


def _forecast(kinds: Iterable[Round], rounds: Iterable[float]) -> float:
    return sum(seconds for kind, seconds in zip(kinds, rounds, strict=True) if kind is Round.FORECAST)


def _entry(index: int, prompt: str) -> BatchEntry:
    video_id = sha256(f"{index} {prompt!r}".encode()).hexdigest()[:VIDEO_ID_LENGTH]
    settings = ForecastSettings(growth=0.75 if index % 3 else 3.0)
    return BatchEntry(video_id, replace(_REQUEST, prompt=prompt, seed=index, forecast=settings))


_REQUEST = Request(
    prompt="",
    negative_prompt="",
    seed=0,
    height=SIDE,
    width=SIDE,
    num_frames=NUM_FRAMES,
    fps=FPS,
    num_steps=50,
    guidance_scale=5.0,
    flow_shift=3.0,
    forecast=ForecastSettings(),
)
