"""Whole renders through the product's engine: 10, 14 and 50 full rounds of 50."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

from benchmarks.wan_measure import Memory, synchronize, watch_memory
from benchmarks.wan_session import NUM_STEPS, Session, Wan
from orchestrator.reports import RoundReport
from spectrum import ForecastSettings, Method, Round

PLANS = {
    10: ForecastSettings(growth=3.0),
    14: ForecastSettings(growth=0.75),
    50: ForecastSettings(method=Method.NONE),
}
"""By the number of full rounds they leave."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Render:
    """One video's denoising loop."""

    seconds: float
    """From the first step to the gathered latents, by the host's clock."""
    rounds: tuple[RoundReport, ...]
    memory: Memory

    def seconds_of(self, kind: Round) -> list[float]:
        """Of each round of a kind."""
        return [report.seconds for report in self.rounds if report.kind is kind]


def measure_renders(session: Session) -> None:
    """Seconds, speed-up and the share of the ideal speed-up (50 over the full rounds) that is kept.

    The shortest is rendered first, so that a run that is cut off has most to show. Where 50 full rounds do not fit
    the deadline, their seconds are 50 times the median of the full rounds that were measured in the others, and
    every figure that rests on that says so.
    """
    with session.wan.running(session.mode):
        # A first round may compile the blocks and look for kernels: only the one after it tells how long they take.
        warm, _ = session.wan.run_full_rounds(1 if session.mode in session.passes else 2)
        if len(warm) > 1:
            session.learn_rounds(session.mode, warm[1:])
        renders: dict[int, Render] = {}
        for num_full in sorted(session.full_rounds):
            predicted = 2 * num_full * session.predict_pass(session.mode) * 1.02 + 1
            if not session.deadline.allows(f"renders, {num_full} full rounds", predicted):
                continue
            render = renders[num_full] = _render(session.wan, PLANS[num_full])
            session.learn_rounds(session.mode, render.seconds_of(Round.FULL))
            _report_render(session, num_full, render)
            _report_speedups(session, renders)


def _render(wan: Wan, settings: ForecastSettings) -> Render:
    with watch_memory(wan.device) as memory:
        state = wan.start(settings)
        synchronize(wan.device)
        begin = perf_counter()
        while not state.is_denoised:
            wan.engine.run_segment(state)
        wan.engine.finish(state)
        synchronize(wan.device)
        seconds = perf_counter() - begin
    return Render(seconds=seconds, rounds=tuple(state.rounds), memory=memory)


def _report_render(session: Session, num_full: int, render: Render) -> None:
    full, forecast = render.seconds_of(Round.FULL), render.seconds_of(Round.FORECAST)
    assert len(full) == num_full
    text = f"{num_full} full rounds, {session.mode}: {render.seconds:.2f} s; a full round {median(full):.4g} s"
    if forecast:
        text += f", a forecast round {1000 * median(forecast):.2f} ms"
    session.report.add(
        "renders",
        f"{num_full} full",
        {
            "mode": str(session.mode),
            "seconds": render.seconds,
            "full_seconds": full,
            "forecast_seconds": forecast,
            "steps": [report.kind.value for report in render.rounds],
            "peak_bytes": render.memory.peak,
        },
        f"{text}; {render.memory}",
    )


def _report_speedups(session: Session, renders: dict[int, Render]) -> None:
    """Speed-ups of what has been rendered so far, with what is known so far of 50 full rounds."""
    if NUM_STEPS in renders:
        whole, basis = renders[NUM_STEPS].seconds, "measured"
    else:
        full = [seconds for render in renders.values() for seconds in render.seconds_of(Round.FULL)]
        whole, basis = NUM_STEPS * median(full), f"EXTRAPOLATED from {len(full)} measured full rounds"
    session.report.add(
        "renders",
        "50 full rounds",
        {"seconds": whole, "basis": basis, "is_extrapolated": NUM_STEPS not in renders},
        f"50 full rounds: {whole:.2f} s, {basis}",
    )
    around = sum(session.stages.values())
    stages = " and ".join(session.stages) or "no other stage"
    for num_full, render in renders.items():
        if num_full == NUM_STEPS:
            continue
        speedup, ideal = whole / render.seconds, NUM_STEPS / num_full
        video_speedup = (whole + around) / (render.seconds + around)
        session.report.add(
            "renders",
            f"speedup of {num_full} full",
            {
                "loop_speedup": speedup,
                "ideal": ideal,
                "share_of_ideal": speedup / ideal,
                "stages": dict(session.stages),
                "video_seconds": render.seconds + around,
                "video_speedup": video_speedup,
                "basis": basis,
            },
            f"{num_full} full rounds: {speedup:.3f} × as fast in the denoising loop, {speedup / ideal:.4f} of the "
            f"ideal {ideal:.3f} ({basis}); with {stages} {video_speedup:.3f} ×",
        )
