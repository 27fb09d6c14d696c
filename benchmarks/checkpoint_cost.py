"""What a checkpoint costs: seconds and bytes on the demo model, bytes at the shapes of Wan2.1-14B.

The demo's are measured: written as a launch writes them (brought to the disk and checksummed) and restored into an
engine, by one rank. The 14B's are computed from what the files hold: each rank's own slice of tokens, solver and
histories (state full), and the whole latents and solver, which rank 0 writes with either state. Seconds on the 14B
are those of the disk: bytes over its rate.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from rich.console import Console

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import FOLDER, MAX_SEQUENCE_LENGTH, REQUEST, DemoModel
from benchmarks.wan_shapes import SIZES
from orchestrator.checkpoint import read_checkpoint, write_checkpoint
from orchestrator.freezing import freeze, freeze_latents, thaw, thaw_latents
from parallel.layout import Layout
from parallel.wan_shapes import PATCH_VALUES, WAN_14B
from spectrum import Features, ForecastSettings

GB = 1e9
SOLVER_TENSORS = 3
"""UniPC of order 2: the results of two steps, and the last sample."""
LATENT_BYTES = 4
"""float32, of latents and solver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What decides the size of a checkpoint."""

    num_tokens: int
    width: int
    """Values of a token between the blocks."""
    feature_bytes: int
    """Of one value: 2 in bfloat16."""
    num_text_tokens: int
    text_width: int
    layout: Layout
    snapshots: int
    """In each history."""
    features: Features = Features.HIDDEN


def latents_bytes(shape: Shape) -> int:
    """The file that any layout may go on from: latents and solver of the whole video."""
    return shape.num_tokens * PATCH_VALUES * LATENT_BYTES * (1 + SOLVER_TENSORS)


def rank_bytes(shape: Shape) -> int:
    """One rank's own file: its slice of latents, solver and histories, and its branches' text."""
    num_tokens = -(-shape.num_tokens // shape.layout.sequence_degree)
    branches = 1 if shape.layout.cfg == 2 else 2
    slices = num_tokens * PATCH_VALUES * LATENT_BYTES * (1 + SOLVER_TENSORS)
    histories = branches * shape.snapshots * num_tokens * shape.width * shape.feature_bytes
    if shape.features is Features.VELOCITY:  # one history of both branches' guided result
        histories = shape.snapshots * num_tokens * PATCH_VALUES * shape.feature_bytes
    text = branches * shape.num_text_tokens * shape.text_width * shape.feature_bytes
    return slices + histories + text + 8 * shape.snapshots**2


def whole_bytes(shape: Shape) -> int:
    """Everything that a checkpoint with the full state writes."""
    return shape.layout.world_size * rank_bytes(shape) + latents_bytes(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One kind of checkpoint of the demo."""

    state: str
    num_bytes: int
    write_seconds: float
    restore_seconds: float


def measure(repetitions: int, dtype: torch.dtype = torch.float32) -> list[Measured]:
    """Write and restore the demo before its last segment; medians."""
    model, request = DemoModel(dtype), replace(REQUEST, prompt="a large red circle", forecast=ForecastSettings())
    engine, embeds = model.engine, model.embed(request)
    state = engine.start(request, embeds)
    while state.step < state.plan.full_steps[-1]:
        engine.run_segment(state)
    with tempfile.TemporaryDirectory() as name:
        full, latents = Path(name) / "rank-0.safetensors", Path(name) / "latents.safetensors"
        return [
            Measured(
                state="full",
                write_seconds=_median(lambda: write_checkpoint(full, freeze(state)), repetitions),
                restore_seconds=_median(lambda: thaw(engine, read_checkpoint(full), request), repetitions),
                num_bytes=full.stat().st_size,
            ),
            Measured(
                state="latents",
                write_seconds=_median(lambda: write_checkpoint(latents, freeze_latents(engine, state)), repetitions),
                restore_seconds=_median(
                    lambda: thaw_latents(engine, read_checkpoint(latents), request, embeds), repetitions
                ),
                num_bytes=latents.stat().st_size,
            ),
        ]


def demo_shape(*, feature_bytes: int) -> Shape:
    """The demo, as `measure` writes it."""
    return Shape(
        num_tokens=180,
        width=192,
        feature_bytes=feature_bytes,
        num_text_tokens=MAX_SEQUENCE_LENGTH,
        text_width=128,
        layout=Layout(),
        snapshots=ForecastSettings().plan(REQUEST.num_steps).num_full - 1,
    )


def large_shapes() -> dict[str, Shape]:
    """Videos of Wan2.1-14B, with the most snapshots that the paper's plan of 14 full rounds comes to."""
    settings = ForecastSettings()
    snapshots = settings.capacity(settings.plan(50))
    shapes = {}
    for size in ("480p", "720p"):
        for layout in (Layout(), Layout(cfg=2, ulysses=4)):
            shape = Shape(
                num_tokens=SIZES[size].num_tokens,
                width=WAN_14B.width,
                feature_bytes=2,
                num_text_tokens=WAN_14B.num_text_tokens,
                text_width=WAN_14B.text_width,
                layout=layout,
                snapshots=snapshots,
            )
            shapes[f"{size}, {layout}"] = shape
            shapes[f"{size}, {layout}, max_history=4"] = replace(shape, snapshots=4)
            shapes[f"{size}, {layout}, features=velocity"] = replace(shape, features=Features.VELOCITY)
    return shapes


def _median(work: Callable[[], object], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        begin = perf_counter()
        work()
        seconds.append(perf_counter() - begin)
    return median(seconds)


def main() -> None:
    """Measure, compute, print."""
    arguments = parser(__doc__ or "").parse_args()
    console = Console(width=150)
    measured = measure(3 if arguments.quick else 50)
    console.print(
        "| demo, one rank: state | bytes | written, ms | restored, ms |\n|---|--:|--:|--:|", highlight=False
    )
    for one in measured:
        seconds = f"{1e3 * one.write_seconds:.1f} | {1e3 * one.restore_seconds:.1f}"
        console.print(f"| {one.state} | {one.num_bytes:,} | {seconds} |", highlight=False)
    console.print(
        "\n| Wan2.1-14B, computed | each rank, GB | all ranks (full), GB | latents, GB | seconds at 1 GB/s, full |"
        "\n|---|--:|--:|--:|--:|",
        highlight=False,
        soft_wrap=True,
    )
    computed = {name: (rank_bytes(one), whole_bytes(one), latents_bytes(one)) for name, one in large_shapes().items()}
    for name, (rank, whole, latents) in computed.items():
        figures = f"{rank / GB:.2f} | {whole / GB:.2f} | {latents / GB:.3f} | {whole / GB:.1f}"
        console.print(f"| {name} | {figures} |", highlight=False, soft_wrap=True)
    write_json(
        arguments.json,
        {
            "demo": {one.state: [one.num_bytes, one.write_seconds, one.restore_seconds] for one in measured},
            "computed_bytes": computed,
            "model": str(FOLDER.name),
        },
    )


if __name__ == "__main__":
    main()
