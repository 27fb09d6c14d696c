"""Do several ranks render what one renders? The comparison, on this machine's GPUs or CPU, in one command.

For every layout that fits the machine's GPUs (or up to four processes on the CPU) the program starts that many ranks,
renders one video of 50 steps with forecast rounds, and compares latents and decoded frames with one rank's. It also
counts the collectives that each rank issues in full and in forecast rounds. A control, with attention left local to
each rank, shows what a wrong result looks like.

In float32, Ulysses and guidance layouts are expected to be equal to the last bit on the CPU; a ring joins partial
sums in another order and is expected within 1e-5. In bfloat16, and on GPUs, kernels of different shapes round
differently: the differences are printed, not judged.

    python -m benchmarks.parity                                        # the demo model
    python -m benchmarks.parity --model /models/Wan2.1-T2V-1.3B-Diffusers --dtype bfloat16 --video 480p
"""

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import spawn

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import FOLDER, REQUEST
from benchmarks.quiet import silence_libraries
from benchmarks.rank_engine import build, counted_collectives
from orchestrator.decode import decode_latents
from orchestrator.model_folder import transformer_heads
from orchestrator.request import Request
from parallel.layout import AttentionEngine, Layout, Problem, reasons_against, splits_evenly
from parallel.process_group import join_group
from spectrum import ForecastSettings, Round

LAYOUTS = (
    Layout(ulysses=2),
    Layout(cfg=2),
    Layout(ring=2),
    Layout(ulysses=4),
    Layout(cfg=2, ulysses=2),
    Layout(ring=2, ulysses=2),
    Layout(ulysses=8),
    Layout(cfg=2, ulysses=4),
    Layout(ring=2, ulysses=4),
    Layout(cfg=2, ring=2, ulysses=2),
)
CPU_RANKS = 4
RING_TOLERANCE = 1e-5
SIZES = {"tiny": (96, 96, 17), "uneven": (80, 80, 17), "480p": (480, 832, 81), "720p": (720, 1280, 81)}
"""Height, width, frames. The 125 tokens of "uneven" divide by neither 2 nor 4."""
PROMPT = "a large red circle moving left on a dark blue background"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One comparison."""

    layout: Layout
    attention: AttentionEngine = AttentionEngine.DIFFUSERS
    size: str = "tiny"
    is_control: bool = False
    """Leave self-attention local to each rank, which is wrong."""

    @property
    def name(self) -> str:
        """Of the row."""
        notes = [str(self.layout), self.attention.value, self.size]
        return ", ".join([*notes, "control: attention left local"] if self.is_control else notes)

    @property
    def tolerance(self) -> float:
        """Largest difference of latents, relative to the largest latent, that is expected in float32 on the CPU."""
        return RING_TOLERANCE if self.layout.ring > 1 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all cases share."""

    folder: Path
    device: str
    dtype: str
    max_sequence_length: int
    num_steps: int

    def request(self, size: str) -> Request:
        """The video to render."""
        height, width, num_frames = SIZES[size]
        return replace(
            REQUEST,
            prompt=PROMPT,
            height=height,
            width=width,
            num_frames=num_frames,
            num_steps=self.num_steps,
            forecast=ForecastSettings(),
        )

    def problem(self, case: Case) -> Problem:
        """What the case's layout has to fit."""
        height, width, num_frames = SIZES[case.size]
        tokens = ((num_frames - 1) // 4 + 1) * (height // 16) * (width // 16)
        return Problem(
            num_heads=transformer_heads(self.folder),
            num_tokens=tokens,
            engine=case.attention,
            is_float32_on_gpu=self.device == "cuda" and self.dtype == "float32",
        )


def render_rank(rank: int, case: Case, setting: Setting, folder: Path) -> None:
    """One rank's part of a case: render, count, and let rank 0 store the result. Runs in a process of its own."""
    silence_libraries()
    torch.set_num_threads(1)
    device = torch.device(setting.device, rank) if setting.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world_size = case.layout.world_size
    store = FileStore(str(folder / "store"), world_size)
    join_group(store, rank=rank, world_size=world_size, device=device, engine=case.attention)
    model = build(
        setting.folder,
        layout=case.layout,
        rank=rank,
        device=device,
        dtype=getattr(torch, setting.dtype),
        max_sequence_length=setting.max_sequence_length,
        attention=case.attention,
        uneven=not splits_evenly(case.layout, setting.problem(case)),
    )
    if case.is_control:
        for block in model.transformer.blocks:
            block.attn1.processor._parallel_config = None
    state = model.start(setting.request(case.size))
    with counted_collectives(state) as counts:
        while not state.is_denoised:
            model.engine.run_segment(state)
    latents = model.engine.finish(state)
    by_kind = {
        kind: sorted({counts[step] for step, planned in enumerate(state.plan) if planned is kind}) for kind in Round
    }
    gathered: list[Any] = [None] * world_size
    dist.all_gather_object(gathered, by_kind)
    if rank == 0:
        frames = decode_latents(model.vae, latents)
        torch.save(
            {"latents": latents.cpu(), "frames": torch.from_numpy(frames), "counts": gathered}, folder / "result"
        )
    dist.barrier()
    dist.destroy_process_group()


def run_case(case: Case, setting: Setting) -> dict[str, Any]:
    """Render a case on as many processes as its layout has ranks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spawn(render_rank, (case, setting, folder), nprocs=case.layout.world_size)
        result: dict[str, Any] = torch.load(folder / "result", weights_only=False)
    return result


def compare(case: Case, result: dict[str, Any], reference: dict[str, Any], *, judged: bool) -> dict[str, Any]:
    """The figures of one row, and whether they are as expected."""
    difference = float((result["latents"] - reference["latents"]).abs().max() / reference["latents"].abs().max())
    frames = (result["frames"].int() - reference["frames"].int()).abs()
    forecasts = sorted({count for rank in result["counts"] for count in rank[Round.FORECAST]})
    fulls = sorted({count for rank in result["counts"] for count in rank[Round.FULL]})
    allowed_forecasts = [case.layout.cfg - 1]
    as_expected = forecasts == allowed_forecasts and min(fulls) > 0
    if judged:
        as_expected &= difference > RING_TOLERANCE if case.is_control else difference <= case.tolerance
    return {
        "case": case.name,
        "layout": asdict(case.layout),
        "attention": case.attention.value,
        "latents_difference": difference,
        "frames_changed": float((frames > 0).float().mean()),
        "frames_largest_change": int(frames.max()),
        "collectives_full": fulls,
        "collectives_forecast": forecasts,
        "as_expected": bool(as_expected),
    }


def cases(setting: Setting, size: str, max_ranks: int, engines: list[AttentionEngine]) -> list[Case]:
    """Every case that fits the model and the machine, with one control for each number of ranks."""
    chosen = _combinations(size, max_ranks, engines)
    fitting = [case for case in chosen if not reasons_against(case.layout, setting.problem(case))]
    control = Case(layout=Layout(ulysses=2), size=size, is_control=True)
    return [*fitting, control] if max_ranks > 1 else fitting


def left_out(setting: Setting, size: str, max_ranks: int, engines: list[AttentionEngine]) -> list[Case]:
    """The cases that would fit in bfloat16, and have no attention in float32 on GPUs."""
    found = []
    for case in _combinations(size, max_ranks, engines):
        problem = setting.problem(case)
        in_16_bits = replace(problem, is_float32_on_gpu=False)
        if reasons_against(case.layout, problem) and not reasons_against(case.layout, in_16_bits):
            found.append(case)
    return found


def _combinations(size: str, max_ranks: int, engines: list[AttentionEngine]) -> list[Case]:
    chosen = [
        Case(layout=layout, attention=engine, size=size)
        for engine in engines
        for layout in LAYOUTS
        if layout.world_size <= max_ranks and not (engine is AttentionEngine.XFUSER and layout.sequence_degree == 1)
    ]
    if size == "tiny":
        chosen += [Case(layout=layout, size="uneven") for layout in LAYOUTS if layout.world_size <= max_ranks]
    return chosen


def main() -> None:
    """Compare and print; exit status 1 where something is not as expected."""
    arguments = _arguments()
    setting = Setting(
        folder=arguments.model,
        device=arguments.device,
        dtype=arguments.dtype,
        max_sequence_length=arguments.max_sequence_length,
        num_steps=12 if arguments.quick else 50,
    )
    console = Console()
    max_ranks = torch.cuda.device_count() if arguments.device == "cuda" else CPU_RANKS
    engines = [AttentionEngine(name) for name in arguments.engines.split(",")]
    judged = arguments.device == "cpu" and arguments.dtype == "float32"
    references: dict[str, dict[str, Any]] = {}
    rows = []
    console.print(
        f"{setting.num_steps} steps, {arguments.dtype}, {arguments.device}; against one rank; "
        "latents relative to the largest\n"
    )
    console.print(
        "| layout, engine, size | latents differ by | frame values changed | collectives: full / forecast | |",
        soft_wrap=True,
    )
    console.print("|---|--:|--:|--:|---|")
    for case in cases(setting, arguments.video, max_ranks, engines):
        if case.size not in references:
            references[case.size] = run_case(Case(layout=Layout(), size=case.size), setting)
        row = compare(case, run_case(case, setting), references[case.size], judged=judged)
        rows.append(row)
        _print_row(console, row)
    for case in left_out(setting, arguments.video, max_ranks, engines):
        console.print(
            f"| {case.name} | | | | left out: no attention in float32 on GPUs, take --dtype bfloat16 |",
            highlight=False,
            soft_wrap=True,
        )
    write_json(arguments.json, {"setting": {**asdict(setting), "folder": str(setting.folder)}, "rows": rows})
    if not all(row["as_expected"] for row in rows):
        sys.exit(1)


def _print_row(console: Console, row: dict[str, Any]) -> None:
    counts = " / ".join(",".join(map(str, row[f"collectives_{kind}"])) for kind in ("full", "forecast"))
    verdict = "" if row["as_expected"] else "NOT AS EXPECTED"
    console.print(
        f"| {row['case']} | {row['latents_difference']:.1e} | {100 * row['frames_changed']:.3f} % "
        f"(by at most {row['frames_largest_change']}) | {counts} | {verdict} |",
        highlight=False,
        soft_wrap=True,
    )


def _arguments() -> argparse.Namespace:
    command = parser(__doc__ or "")
    command.add_argument(
        "--model", type=Path, default=FOLDER, help="folder of a Wan2.1 model (default: the demo model)"
    )
    command.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    command.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    command.add_argument("--video", choices=[*SIZES], default="tiny", help="size (default tiny)")
    command.add_argument("--engines", default="diffusers,xfuser", help="attention engines (default: both)")
    command.add_argument(
        "--max-sequence-length", type=int, default=24, help="text tokens: 512 for Wan2.1 (default 24)"
    )
    return command.parse_args()


if __name__ == "__main__":
    main()
