"""Full rounds, compiled blocks and forecast rounds, each through the product's own engine."""

from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from diffusers import WanPipeline

from benchmarks.wan_measure import Copier, Ticker, free_memory, largest_difference, matmul_rate, watch_memory
from benchmarks.wan_session import GUIDANCE_SCALE, Mode, Session, Wan
from orchestrator.render_state import Branch
from spectrum import ForecastSettings, Round

MATMULS = {"cuda": ((32768, 5120, 13824), (8192, 8192, 8192)), "cpu": ((256, 256, 256),)}
_COMPILE_SECONDS = 60.0
"""Of one block, from which all are made: a guess, on the high side, for predictions alone."""


def measure_rates(session: Session) -> None:
    """The chip's matrix rate, the best of several large products, and the floor it puts under a full round."""
    repeats = 3 if session.is_quick else 20
    rates = {
        f"{rows}x{inner}x{columns}": matmul_rate(
            *(rows, inner, columns), device=session.device, dtype=torch.bfloat16, repeats=repeats
        )
        for rows, inner, columns in MATMULS[session.device.type]
    }
    free_memory(session.device)
    session.matmul_rate = max(rates.values())
    listed = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items())
    session.report.add("rates", "matmul", rates, f"bf16 matrix products in TFLOP/s: {listed}")
    session.report.add(
        "rates",
        "floor",
        {"pass_flops": session.pass_flops, "round_flops": 2 * session.pass_flops, "seconds": session.floor_seconds},
        f"a pass over {session.num_tokens} tokens is {session.pass_flops / 1e15:.3g} PFLOP; a full round, two "
        f"passes, cannot take less than {session.floor_seconds:.3g} s",
    )


def measure_rounds(session: Session) -> None:
    """Seconds of a full round: the stock pipeline's step, then the engine as it is and in the session's mode."""
    count = 1 if session.is_quick else 2
    stock = _measure_stock(session, count)
    for mode in dict.fromkeys((Mode(), session.mode)):
        if not session.deadline.allows(f"rounds, {mode}", 2 * (1 + count) * session.predict_pass(mode)):
            continue
        with watch_memory(session.device) as memory, session.wan.running(mode):
            seconds, tokens = session.wan.run_full_rounds(1 + count)
        steady = median(seconds[1:])
        session.learn_rounds(mode, seconds[1:])
        figures = {
            "seconds": steady,
            "all_seconds": seconds[1:],
            "over_floor": _over_floor(session, steady),
            "over_stock": None if stock is None else steady / stock,
            "peak_bytes": memory.peak,
            "is_finite": bool(torch.isfinite(tokens).all()),
        }
        session.report.add(
            "rounds",
            f"engine, {mode}",
            figures,
            f"the engine's full round, {mode}: {steady:.4g} s, {_over_floor(session, steady):.3g} × the floor, "
            + ("" if stock is None else f"{steady / stock:.3f} × the stock step; ")
            + ("" if figures["is_finite"] else "NOT FINITE; ")
            + str(memory),
        )


def _measure_stock(session: Session, count: int) -> float | None:
    if find_spec("transformers") is None:
        session.report.skip("rounds, stock", "WanPipeline needs transformers, which is not installed")
        return None
    with watch_memory(session.device) as memory, session.wan.running(Mode()):
        seconds = _stock_steps(session.wan, count)
    steady = median(seconds)
    session.learn_rounds(Mode(), seconds)
    session.report.add(
        "rounds",
        "stock",
        {
            "seconds": steady,
            "all_seconds": seconds,
            "over_floor": _over_floor(session, steady),
            "peak_bytes": memory.peak,
        },
        f"WanPipeline's step, {Mode()}: {steady:.4g} s, {_over_floor(session, steady):.3g} × the floor; {memory}",
    )
    return steady


def _stock_steps(wan: Wan, count: int) -> list[float]:
    """Seconds of `count` steps of diffusers' own pipeline, after one that is not counted."""
    pipeline = WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=wan.scheduler, transformer=wan.transformer
    )
    pipeline.set_progress_bar_config(disable=True)
    ticker = Ticker(wan.device)

    def end_of_step(_pipeline: Any, _step: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        ticker.tick()
        return {}

    pipeline(
        prompt_embeds=wan.prompt_embeds[Branch.COND],
        negative_prompt_embeds=wan.prompt_embeds[Branch.UNCOND],
        latents=wan.latent_shape.draw_noise(0),
        height=wan.size.height,
        width=wan.size.width,
        num_frames=wan.size.num_frames,
        num_inference_steps=1 + count,
        guidance_scale=GUIDANCE_SCALE,
        output_type="latent",
        callback_on_step_end=end_of_step,
    )
    return ticker.intervals()


def measure_compile(session: Session) -> None:
    """Full rounds with the blocks compiled and not, at the session's attention backend."""
    count = 1 if session.is_quick else 2
    seconds: dict[bool, list[float]] = {}
    tokens: dict[bool, torch.Tensor] = {}
    for is_compiled in (False, True):
        mode = Mode(session.mode.attention, is_compiled)
        predicted = 2 * (1 + count) * session.predict_pass(mode)
        if is_compiled and session.device.type == "cuda":
            predicted += _COMPILE_SECONDS
        if not session.deadline.allows(f"compile, {mode}", session.predict_build() + predicted):
            return
        with watch_memory(session.device) as memory, session.wan.running(mode):
            seconds[is_compiled], tokens[is_compiled] = session.wan.run_full_rounds(1 + count)
        steady = median(seconds[is_compiled][1:])
        session.learn_rounds(mode, seconds[is_compiled][1:])
        session.report.add(
            "compile",
            "compiled" if is_compiled else "eager",
            {
                "mode": str(mode),
                "seconds": steady,
                "over_floor": _over_floor(session, steady),
                "first_seconds": seconds[is_compiled][0],
                "peak_bytes": memory.peak,
            },
            f"a full round, {mode}: {steady:.4g} s, {_over_floor(session, steady):.3g} × the floor, the first one "
            f"{seconds[is_compiled][0]:.1f} s; {memory}",
        )
    speedup = median(seconds[False][1:]) / median(seconds[True][1:])
    difference = largest_difference(tokens[True], tokens[False])
    session.report.add(
        "compile",
        "gain",
        {"speedup": speedup, "difference": difference},
        f"compiling makes a full round {speedup:.3f} × as fast; the tokens after {1 + count} rounds differ by "
        f"{difference:.1e}",
    )


def measure_forecast(session: Session) -> None:
    """Milliseconds of a forecast round by the number of snapshots, against a copy that moves the same bytes.

    The engine goes through a whole plan; in place of each full round the history is given features, so that only
    forecast rounds are run, each with the snapshots that it really has: the plan of 14 full rounds, whose sizes, 5 to
    14, contain those of 10. Nothing is queued on the device before them,
    so what the host takes to issue them counts; the part `renders` measures them behind full rounds.

    The floor is a copy on the device of as many bytes as both branches' forecasts cannot do without: each snapshot
    read once, the forecast written once and read once by the head.
    """
    settings = ForecastSettings()
    _walk_forecasts(session.wan, settings)
    measured: dict[int, list[float]] = {}
    with watch_memory(session.device) as memory:
        for _ in range(1 if session.is_quick else 5):
            for snapshots, seconds in _walk_forecasts(session.wan, settings):
                measured.setdefault(snapshots, []).append(seconds)
    snapshot_bytes = session.num_tokens * session.model.transformer.width * torch.bfloat16.itemsize
    num_bytes = {snapshots: 2 * (snapshots + 2) * snapshot_bytes for snapshots in measured}
    copier = Copier(max(num_bytes.values()), device=session.device)
    for snapshots, laps in measured.items():
        floor = copier.seconds(num_bytes[snapshots], repeats=1 if session.is_quick else 5)
        figures = {
            "ms": 1000 * median(laps),
            "floor_ms": 1000 * floor,
            "above_floor_ms": 1000 * (median(laps) - floor),
            "bytes": num_bytes[snapshots],
            "peak_bytes": memory.peak,
        }
        session.report.add(
            "forecast",
            f"{snapshots} snapshots",
            figures,
            f"{snapshots} snapshots: {figures['ms']:.2f} ms a round, floor {figures['floor_ms']:.2f} ms "
            f"({num_bytes[snapshots] / floor / 1e12:.3g} TB/s), {figures['above_floor_ms']:.2f} ms above it",
        )


def _walk_forecasts(wan: Wan, settings: ForecastSettings) -> list[tuple[int, float]]:
    """(snapshots, seconds) of every forecast round of the plan."""
    state = wan.start(settings)
    shape = (1, wan.latent_shape.num_tokens, wan.shape.width)
    features = torch.randn(shape, device=wan.device, dtype=torch.bfloat16)
    walked = []
    while not state.is_denoised:
        for history in state.histories.values():
            history.append(state.step, features)
        state.step += 1
        if not state.is_denoised and state.plan[state.step] is Round.FORECAST:
            reports = wan.engine.run_segment(state)
            walked += [(len(state.histories[Branch.COND]), report.seconds) for report in reports]
    return walked


def _over_floor(session: Session, seconds: float) -> float:
    assert session.floor_seconds is not None
    return seconds / session.floor_seconds
