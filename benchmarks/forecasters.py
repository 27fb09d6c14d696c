"""Quality and seconds of the forecasters on the demo model, at the paper's two plans.

Every method renders the same captions from the same noise. PSNR and SSIM compare its decoded video with the one of
50 full rounds. "fewer steps" runs the plain loop with as many steps as the plans have full rounds: what one gives
up nothing but steps for. Differences to the paper's method are paired over the captions.

Seconds are those of one video (encode, denoise, decode) in this process; all methods take turns on each caption,
so that a busy machine slows them alike.

One small model's figures do not carry over to another model.
"""

from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import DemoModel, Rendered, draw_requests
from benchmarks.similarity import psnr, ssim
from orchestrator.request import Request
from spectrum import ForecastSettings, Method

PAPER = "spectrum"
PLANS = {14: 0.75, 10: 3.0}
"""Growth of the gaps (the paper's α) by the number of full rounds it leaves of 50."""


@dataclass(kw_only=True, slots=True)
class Row:
    """Figures of one method, one for each caption."""

    method: str
    num_full_rounds: int
    seconds: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)

    def add(self, reference: Rendered, rendered: Rendered) -> None:
        """Take in one caption's video."""
        assert rendered.num_full_rounds == self.num_full_rounds
        self.seconds.append(rendered.seconds)
        self.psnr.append(psnr(reference.frames, rendered.frames))
        self.ssim.append(ssim(reference.frames, rendered.frames))


def variants(num_full_rounds: int) -> dict[str, ForecastSettings | None]:
    """Forecast settings by the method's name in the table; None stands for just running fewer steps."""
    growth = PLANS[num_full_rounds]
    return {
        PAPER: ForecastSettings(growth=growth),
        "spectrum, blend 0.5": ForecastSettings(growth=growth, blend=0.5),
        "taylor, order 1": ForecastSettings(method=Method.TAYLOR, growth=growth, order=1),
        "taylor, order 2": ForecastSettings(method=Method.TAYLOR, growth=growth, order=2),
        "reuse": ForecastSettings(method=Method.REUSE, growth=growth),
        "fewer steps": None,
    }


def variant_of(request: Request, settings: ForecastSettings | None, num_full_rounds: int) -> Request:
    """The request as one method renders it."""
    if settings is None:
        return replace(request, num_steps=num_full_rounds)
    return replace(request, forecast=settings)


def measure(model: DemoModel, requests: list[Request], console: Console) -> tuple[Row, list[Row]]:
    """The row of all rounds full, and the rows of every method at both plans."""
    reference_row = Row(method="all rounds full", num_full_rounds=requests[0].num_steps)
    rows = {(count, name): Row(method=name, num_full_rounds=count) for count in PLANS for name in variants(count)}
    model.render(variant_of(requests[0], None, 10))  # the first video pays for what is set up once
    for request in track(requests, "captions", console=console, transient=True):
        reference = model.render(request)
        reference_row.add(reference, reference)
        for (count, name), row in rows.items():
            row.add(reference, model.render(variant_of(request, variants(count)[name], count)))
    return reference_row, list(rows.values())


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and standard error."""
    return fmean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def paired(row: Row, paper: Row) -> tuple[float, float]:
    """Mean and standard error of the difference in PSNR to the paper's method, caption by caption."""
    return mean_and_error([own - other for own, other in zip(row.psnr, paper.psnr, strict=True)])


def figures(reference: Row, rows: list[Row]) -> list[dict[str, Any]]:
    """The table's figures, row by row."""
    papers = {row.num_full_rounds: row for row in rows if row.method == PAPER}
    table: list[dict[str, Any]] = [
        {
            "method": reference.method,
            "full_rounds": reference.num_full_rounds,
            "seconds": median(reference.seconds),
            "speedup": 1.0,
        }
    ]
    for row in rows:
        mean, error = mean_and_error(row.psnr)
        difference, difference_error = paired(row, papers[row.num_full_rounds])
        ratios = [own / whole for own, whole in zip(reference.seconds, row.seconds, strict=True)]
        table.append(
            {
                "method": row.method,
                "full_rounds": row.num_full_rounds,
                "seconds": median(row.seconds),
                "speedup": median(ratios),
                "psnr": mean,
                "psnr_error": error,
                "psnr_worst": min(row.psnr),
                "ssim": fmean(row.ssim),
                "to_paper": difference,
                "to_paper_error": difference_error,
            }
        )
    return table


def print_table(console: Console, table: list[dict[str, Any]], num_captions: int) -> None:
    """The figures as Markdown that reads well in a terminal too."""
    console.print(f"{num_captions} captions; mean ± standard error; PSNR in dB against all rounds full\n")
    headings = ["full rounds", "method", "s / video", "speed-up", "PSNR", "worst", "SSIM", "against spectrum"]
    lines = [headings, ["--:", "---", "--:", "--:", "--:", "--:", "--:", "--:"]]
    for row in table:
        line = [str(row["full_rounds"]), row["method"], f"{row['seconds']:.2f}", f"{row['speedup']:.2f}×"]
        if "psnr" in row:
            line += [f"{row['psnr']:.1f} ± {row['psnr_error']:.1f}", f"{row['psnr_worst']:.1f}", f"{row['ssim']:.3f}"]
            is_paper = row["method"] == PAPER
            line += ["" if is_paper else f"{row['to_paper']:+.1f} ± {row['to_paper_error']:.1f}"]
        else:
            line += ["", "", "", ""]
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = (
            cell.ljust(width) if column == 1 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        console.print("| " + " | ".join(cells) + " |", highlight=False, soft_wrap=True)


def main() -> None:
    """Measure and print."""
    command = parser(__doc__ or "")
    command.add_argument("--captions", type=int, default=32, help="captions to render (default 32; with --quick 2)")
    arguments = command.parse_args()
    num_captions = 2 if arguments.quick else arguments.captions
    if num_captions < 1:
        command.error(f"--captions={num_captions} must be at least 1")
    console = Console()
    reference, rows = measure(DemoModel(), draw_requests(num_captions), console)
    table = figures(reference, rows)
    print_table(console, table, num_captions)
    write_json(arguments.json, {"captions": num_captions, "rows": table})


if __name__ == "__main__":
    main()
