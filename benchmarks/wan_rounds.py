"""Wan2.1 at its true shapes on one GPU: rounds, attention, compiling, forecasts, decode and whole renders.

The models are built with random weights in bf16, so that nothing has to be downloaded, and everything that the
product does in the denoising loop goes through its own engine. Each figure is printed, and the file of --json written
anew, as soon as it is known; a run that is cut off leaves what it has. Parts:

    attention  diffusers' attention backends: the kernel alone, a pass of the transformer, the difference to "native"
    compile    a full round with torch.compile on the blocks and without
    rounds     a full round (both branches, guidance, solver) against the arithmetic floor of the chip, which is the
               round's operations at the rate of large bf16 matrix products measured at the start, and against the
               step of diffusers' own WanPipeline
    forecast   a forecast round by the number of snapshots, against a device copy of the same bytes
    decode     the autoencoder in float32 and bfloat16, whole and tiled
    text       the text encoder, one prompt (needs transformers)
    renders    the denoising loop of 50 steps with 10, 14 and 50 full rounds: seconds, speed-up, and the share of the
               ideal speed-up that is kept

They run in this order, whatever the order in --parts. Every GPU time is the GPU's own (CUDA events), but for whole
renders, which are timed by the host from a synchronised start to a synchronised end.

On one H200, estimated and not measured: 14b at 480p about 7 minutes without the 50 full rounds, which take 5 to 6
more; 14b at 720p about 6 minutes for all but renders (10 full rounds: 5 more); 1.3b at 480p about 3 minutes.
With `--model small --size small` it runs on a CPU, in seconds, for the tests.
"""

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.utils import logging

from benchmarks.arguments import parser
from benchmarks.wan_attention import best_attention, measure_attention
from benchmarks.wan_denoising import measure_compile, measure_forecast, measure_rates, measure_rounds
from benchmarks.wan_measure import free_memory
from benchmarks.wan_renders import PLANS, measure_renders
from benchmarks.wan_report import Deadline, Report
from benchmarks.wan_session import NATIVE, Mode, Session
from benchmarks.wan_shapes import MODELS, SIZES
from benchmarks.wan_stages import measure_decode, measure_text, predict_decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of the benchmark."""

    measure: Callable[[Session], None]
    predict: Callable[[Session], float]
    """Seconds until its first figure: what must be left for it to begin. It looks at the clock again before each
    of the next."""


def _overhead(session: Session, seconds: float) -> float:
    """Seconds of what does not grow with the video, on a GPU; next to nothing at the small shapes."""
    return seconds if session.device.type == "cuda" else 0.5


PARTS = {
    "attention": Part(
        measure=measure_attention, predict=lambda session: session.predict_build() + 3 * session.predict_pass()
    ),
    "compile": Part(
        measure=measure_compile, predict=lambda session: session.predict_build() + 6 * session.predict_pass()
    ),
    "rounds": Part(
        measure=measure_rounds, predict=lambda session: session.predict_build() + 6 * session.predict_pass()
    ),
    "forecast": Part(
        measure=measure_forecast, predict=lambda session: session.predict_build() + _overhead(session, 10)
    ),
    "decode": Part(measure=measure_decode, predict=lambda session: predict_decode(session) + _overhead(session, 5)),
    "text": Part(measure=measure_text, predict=lambda session: _overhead(session, 20)),
    "renders": Part(
        measure=measure_renders,
        predict=lambda session: session.predict_build() + 22 * session.predict_pass(session.mode),
    ),
}
RATES = Part(measure=measure_rates, predict=lambda session: _overhead(session, 5))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a part failed."""
    options = _parse(arguments)
    logging.set_verbosity_error()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report = Report(options.json, {name: value for name, value in vars(options).items() if name != "json"})
    session = Session(
        model=MODELS[options.model],
        size=SIZES[options.size],
        device=device,
        is_quick=options.quick,
        mode=Mode(options.attention, options.compile),
        full_rounds=options.full_rounds,
        report=report,
        deadline=Deadline(options.deadline, report),
    )
    report.line(f"Wan2.1 {options.model} at {options.size} on {_name_of(device)}, torch {torch.__version__}")
    _run(session, "rates", RATES)
    for name in (name for name in PARTS if name in options.parts):
        _run(session, name, PARTS[name])
        if options.best and name in ("attention", "compile"):
            _choose_best(session)
    report.finish()
    return 1 if report.figures["failed"] else 0


def _run(session: Session, name: str, part: Part) -> None:
    if not session.deadline.allows(name, part.predict(session)):
        return
    try:
        part.measure(session)
    except Exception as error:  # on a lent machine the other parts' figures are worth more than a traceback
        session.report.fail(name, error)
    free_memory(session.device)


def _choose_best(session: Session) -> None:
    """The fastest mode that has been measured and computes the same."""
    attention = best_attention(session)
    eager, compiled = (session.passes.get(Mode(attention, is_compiled)) for is_compiled in (False, True))
    session.mode = Mode(attention, compiled is not None and eager is not None and compiled < eager)
    session.report.figures["best"] = str(session.mode)
    session.report.line(f"best so far: {session.mode}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser(__doc__ or "")
    command.add_argument("--model", choices=MODELS, default="14b", help="shapes of the model (default 14b)")
    command.add_argument("--size", choices=SIZES, default="480p", help="of the video, 81 frames (default 480p)")
    command.add_argument(
        "--parts",
        type=lambda text: _among(PARTS, text),
        default=tuple(PARTS),
        metavar="PART,PART",
        help=f"of {', '.join(PARTS)} (default all)",
    )
    command.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="begin nothing that will not be over by then"
    )
    command.add_argument(
        "--attention",
        type=_backend,
        default=NATIVE,
        metavar="NAME",
        help="diffusers' name of the backend for compile, rounds and renders (default native)",
    )
    command.add_argument("--compile", action="store_true", help="compile the blocks for rounds and renders")
    command.add_argument(
        "--best", action="store_true", help="take backend and compiling from what attention and compile found fastest"
    )
    command.add_argument(
        "--full-rounds",
        type=lambda text: tuple(int(count) for count in _among(PLANS, text)),
        default=tuple(PLANS),
        metavar="COUNT,COUNT",
        help="whole renders to make, by their full rounds, of 10, 14, 50 (default all)",
    )
    options = command.parse_args(arguments)
    if options.best and "attention" not in options.parts:
        command.error("--best takes what the part attention finds: add it to --parts, or give --attention NAME")
    if options.best and (options.attention != NATIVE or options.compile):
        command.error("--best chooses backend and compiling: leave out --attention and --compile")
    return options


def _among(known: Collection[object], text: str) -> tuple[str, ...]:
    """The comma-separated names, all of them known."""
    names, listed = tuple(text.split(",")), [str(name) for name in known]
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(listed)}")
    return names


def _backend(text: str) -> str:
    listed = [member.value for member in AttentionBackendName]
    if text not in listed:
        raise argparse.ArgumentTypeError(f"{text} is none of diffusers' backends: {', '.join(listed)}")
    return text


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


if __name__ == "__main__":
    raise SystemExit(main())
