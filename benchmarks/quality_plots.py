"""Plots of the quality benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.quality_rows import FEWER_STEPS, SWEEP

SIZE = (7.0, 4.8)
"""Inches."""
DOTS_PER_INCH = 150
COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7")
"""Okabe and Ito's: told apart by people who are colour-blind too."""
MARKERS = ("o", "v", "s", "D", "^", "P", "X")


def plot_sweep(lines: Mapping[str, Sequence[Mapping[str, float]]], file: Path, *, title: str) -> None:
    """PSNR against full rounds, a line for each method; nothing is written where there are no points."""
    if not lines:
        return
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    colours = iter(COLOURS)
    for (name, points), marker in zip(lines.items(), MARKERS, strict=False):
        axes.errorbar(
            [point["full_rounds"] for point in points],
            [point["psnr"] for point in points],
            yerr=[point["psnr_error"] for point in points],
            label=name,
            color="black" if name == FEWER_STEPS else next(colours),
            linestyle="--" if name == FEWER_STEPS else "-",
            marker=marker,
            markersize=5,
            capsize=2,
        )
    captions = int(next(iter(lines.values()))[0]["captions"])
    axes.set_xticks(SWEEP)
    axes.set_xlabel("full rounds of 50")
    axes.set_ylabel("PSNR against all rounds full (dB)")
    axes.set_title(f"{title}: mean ± standard error, captions: {captions}", fontsize=10)
    _finish(figure, file)


def plot_errors(lines: Mapping[str, Mapping[int, float]], file: Path, *, title: str) -> None:
    """Error of the forecast that each full round took the place of, along the steps."""
    if not lines:
        return
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for (name, line), colour, marker in zip(lines.items(), COLOURS, MARKERS, strict=False):
        axes.plot(list(line), list(line.values()), label=name, color=colour, marker=marker, markersize=5)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("relative error of the forecast")
    axes.set_title(f"{title}: error of the forecast in each full round's place", fontsize=10)
    _finish(figure, file)


def _finish(figure: Figure, file: Path) -> None:
    [axes] = figure.axes
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)  # where it hides no point
    figure.savefig(file, dpi=DOTS_PER_INCH, facecolor="white")
