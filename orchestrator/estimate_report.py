"""An estimate for people, and for programs."""

from collections.abc import Iterator
from typing import Any

from orchestrator.durations import format_seconds
from orchestrator.estimate_result import Estimate, KindEstimate
from orchestrator.estimate_slurm import MARGIN
from orchestrator.gang_choice import describe_gangs
from orchestrator.slurm_time import format_time
from parallel.render_memory import GIB

_LABEL_WIDTH = 11


def as_text(estimate: Estimate) -> str:
    """Each figure, and on the line below it what it rests on."""
    lines = [
        *_batch_lines(estimate),
        *(line for kind in estimate.kinds for line in _kind_lines(estimate, kind)),
        *_total_lines(estimate),
        *_slurm_lines(estimate),
    ]
    return "".join(f"{label:<{_LABEL_WIDTH}}{text}\n" for label, text in lines)


def as_json(estimate: Estimate) -> dict[str, Any]:
    """Everything in plain values: seconds, bytes, hours."""
    gangs, model = estimate.gangs, estimate.model
    return {
        "job": estimate.job_name,
        "model": {"name": model.name, "dtype": model.dtype.value, "basis": model.basis},
        "videos": {"total": estimate.num_videos, "left": estimate.num_left},
        "gangs": {
            "number": gangs.number,
            "tasks": estimate.num_tasks,
            "ranks": gangs.layout.world_size,
            "layout": {"cfg": gangs.layout.cfg, "ring": gangs.layout.ring, "ulysses": gangs.layout.ulysses},
            "shard_blocks": gangs.shard_blocks,
            "device": gangs.costs.chip.name,
            "basis": [gangs.basis, estimate.place.basis],
        },
        "kinds": [_kind_as_json(kind) for kind in estimate.kinds],
        "start_seconds": estimate.start_seconds,
        "start_basis": estimate.start_basis,
        "seconds": estimate.seconds,
        "gpus": estimate.gpus,
        "gpu_hours": estimate.gpu_hours,
        "gpu_hour": estimate.gpu_hour,
        "money": estimate.money,
        "memory": {
            "usable_bytes": gangs.costs.usable_bytes,
            "has_bytes": gangs.costs.chip.capacity_bytes,
            "basis": estimate.memory_basis,
        },
        "slurm": {
            "wall_seconds": estimate.slurm.wall_seconds,
            "wall_time": estimate.slurm.wall_time,
            "task_seconds": estimate.slurm.task_seconds,
            "num_tasks": estimate.slurm.num_tasks,
            "margin": MARGIN,
        },
    }


def _kind_as_json(kind: KindEstimate) -> dict[str, Any]:
    seconds, memory, size = kind.seconds, kind.memory, kind.load.size
    return {
        "height": size.height,
        "width": size.width,
        "num_frames": size.num_frames,
        "is_guided": kind.load.is_guided,
        "num_steps": seconds.rounds.num_steps,
        "num_full_rounds": seconds.rounds.num_full,
        "videos": kind.load.count,
        "left": kind.num_left,
        "seconds": seconds.total,
        "seconds_all_full": seconds.all_full,
        "parts": {
            "text": seconds.text,
            "full_round": seconds.full_round,
            "forecast_round": seconds.forecast_round,
            "decode": seconds.decode,
            "other": seconds.other,
        },
        "basis": seconds.basis,
        "memory": {
            "weights": memory.weights,
            "text": memory.text,
            "history": memory.history,
            "activations": memory.activations,
            "decode": memory.decode,
            "reserved": memory.reserved,
            "peak": memory.peak,
            "worst_stage": memory.worst_stage,
        },
        "checkpoint": {"full": kind.checkpoint.full, "latents": kind.checkpoint.latents},
    }


def _batch_lines(estimate: Estimate) -> Iterator[tuple[str, str]]:
    done = estimate.num_videos - estimate.num_left
    yield "batch", f"{estimate.num_videos} videos, {done} of them done"
    yield "", f"  {estimate.model.name} in {estimate.model.dtype.value}: {estimate.model.basis}"
    gangs = estimate.gangs
    each = f" in each of {estimate.num_tasks} tasks" if estimate.num_tasks > 1 else ""
    chip = f"{gangs.costs.chip.name}{' a rank' if gangs.on_cpu else ''}"
    sharded = ", blocks sharded" if gangs.shard_blocks else ""
    yield "gangs", f"{describe_gangs(gangs.number, gangs.layout)} on {chip}{sharded}{each}"
    yield "", f"  {gangs.basis}; {estimate.place.basis}"


def _kind_lines(estimate: Estimate, kind: KindEstimate) -> Iterator[tuple[str, str]]:
    seconds, size, memory = kind.seconds, kind.load.size, kind.memory
    guided = "" if kind.load.is_guided else ", no guidance"
    yield "video", f"{size.width}×{size.height}, {size.num_frames} frames{guided}: {kind.num_left} to render"
    rounds = seconds.rounds
    faster = f"; {_seconds(seconds.all_full)} with all of them full ({seconds.speedup:.2f}×)"
    yield (
        " seconds",
        f"{_seconds(seconds.total)} with {rounds.num_full} of {rounds.num_steps} rounds full"
        + (faster if rounds.num_forecast else ""),
    )
    yield (
        "",
        f"  full round {_seconds(seconds.full_round)}, forecast round {_seconds(seconds.forecast_round)}, text "
        f"{_seconds(seconds.text)}, decode {_seconds(seconds.decode)}, other {_seconds(seconds.other)}",
    )
    yield "", f"  {seconds.basis}"
    has, usable = estimate.gangs.costs.chip.capacity_bytes, estimate.gangs.costs.usable_bytes
    where = "a rank" if estimate.gangs.on_cpu else "a GPU"
    yield (
        " memory",
        f"{_gib(memory.peak)} of {_gib(has)} on {where}, at {memory.worst_stage} ({_gib(usable)} can be used)",
    )
    yield (
        "",
        f"  weights {_gib(memory.weights)}, text encoder {_gib(memory.text)}, history {_gib(memory.history)}, "
        f"activations {_gib(memory.activations)}, decode {_gib(memory.decode)}, reserved {_gib(memory.reserved)}",
    )
    yield "", f"  {estimate.memory_basis}; a history is let go before decoding, the text encoder before denoising"
    yield (
        " disk",
        f"a checkpoint of {_gib(kind.checkpoint.full)} (full) or {_gib(kind.checkpoint.latents)} (latents) for each "
        "gang",
    )
    yield "", "  of all its ranks, before the last segment; counted from shapes"


def _total_lines(estimate: Estimate) -> Iterator[tuple[str, str]]:
    yield "total", f"{format_seconds(estimate.seconds)}{_hours(estimate.seconds)}"
    start = f"{_seconds(estimate.start_seconds)} until gangs render: {estimate.start_basis}"
    keeps_up = "; decode workers are taken to keep up" if estimate.gangs.costs.has_decoders else ""
    yield "", f"  {start}; then each takes the next video{keeps_up}"
    if not estimate.gpus:
        yield "cost", "no GPU: no GPU-hours, no money"
        return
    money = "money left out: cost.gpu_hour is not set"
    if estimate.money is not None:
        money = f"{estimate.money:,.2f} at cost.gpu_hour={estimate.gpu_hour:g}"
    tasks = f" × {estimate.num_tasks} tasks" if estimate.num_tasks > 1 else ""
    yield "cost", f"{estimate.gpu_hours:,.1f} GPU-hours; {money}"
    plural = "s" if estimate.gpus > 1 else ""
    yield "", f"  {estimate.gpus} GPU{plural}{tasks}, from the launch to the end; waiting in a queue costs nothing"


def _slurm_lines(estimate: Estimate) -> Iterator[tuple[str, str]]:
    slurm = estimate.slurm
    limit = format_time(slurm.task_seconds)
    tasks = f"{slurm.num_tasks} with slurm.time={limit} (slurm.array={slurm.num_tasks})"
    if slurm.num_tasks <= 1:
        tasks = f"{'one' if slurm.num_tasks else 'none'} with slurm.time={limit} without queueing again"
    yield "SLURM", f"one task with slurm.time={slurm.wall_time}, or {tasks}"
    yield "", f"  a task has the gangs above; {MARGIN - 1:.0%} beside what is expected, and slurm.signal_seconds"


def _seconds(seconds: float) -> str:
    if seconds >= 100:
        return f"{seconds:.0f} s"
    return f"{seconds:.3g} s" if seconds >= 0.001 or not seconds else f"{seconds * 1e6:.0f} µs"


def _hours(seconds: float) -> str:
    return f" ({seconds / 3600:.3g} h)" if seconds >= 60 else ""


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= 0.1 * GIB else f"{size / 2**20:.1f} MiB"
