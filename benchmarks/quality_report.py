"""The figures as Markdown that reads well in a terminal too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality_regimes import Regime

HEADINGS = (
    "method",
    "plan",
    "full rounds",
    "speed-up",
    "PSNR",
    "worst",
    "SSIM",
    "all right",
    "against the paper's",
    "against fewer steps",
)
LEFT = 2
"""Columns of words."""
EXPLANATION = """\
PSNR (dB) and SSIM of the decoded video against the one with all rounds full, from the same noise; mean ± standard
error. "all right": share of captions of which the scorer finds everything in the video. Differences are paired over
the captions. Full rounds are counted (a pass of all blocks on both branches is one); speed-up is the ratio of the
processor's seconds, encode and decode included, the median over the captions. One small model's figures: they do not
carry over to another model."""


def markdown(regime: Regime, table: Sequence[dict[str, Any]]) -> str:
    """A heading for the regime, and a table for each number of full rounds."""
    most = max((row["captions"] for row in table), default=0)
    lines = [
        f"### {regime.name}: guidance {regime.guidance_scale:g}, shift {regime.flow_shift:g}; captions: {most}",
    ]
    for target in sorted({row["target"] for row in table}, reverse=True):
        own = [row for row in table if row["target"] == target]
        lines += ["", *_aligned([_cells(row, most) for row in own])]
    return "\n".join(lines)


def page(tables: Mapping[Regime, Sequence[dict[str, Any]]], plots: Sequence[Path]) -> str:
    """A page of its own: what the figures are, the tables, and the plots, whose paths are those from the page."""
    lines = [
        "# Quality",
        "",
        "Written by `python -m benchmarks.quality --report --page docs/quality.md`. The README has the main rows,",
        "and what they mean.",
        "",
        EXPLANATION,
    ]
    for regime, table in tables.items():
        lines += ["", markdown(regime, table).replace("### ", "## The regime ", 1)]
    lines += ["", "## Plots", ""]
    lines += [f"![{_caption(file.stem)}]({file.as_posix()})\n" for file in plots]
    return "\n".join([line.rstrip() for line in lines]).rstrip() + "\n"


def _caption(stem: str) -> str:
    """What a plot shows, from its file's name: psnr_hard, error_plain_14."""
    kind, regime, *target = stem.split("_")
    if kind == "psnr":
        return f"PSNR against full rounds, {regime} regime"
    return f"Error of the forecasts along the steps, {regime} regime, {target[0]} full rounds"


def _cells(row: dict[str, Any], most: int) -> list[str]:
    name = row["method"] + ("" if row["captions"] == most else f" (captions: {row['captions']})")
    if "error" in row:
        return [name, f"cannot be run: {row['error']}", *[""] * (len(HEADINGS) - LEFT)]
    return [
        name,
        row["plan"],
        f"{row['full_rounds']:.1f}",
        "" if row["speedup"] is None else f"{row['speedup']:.2f}×",
        f"{row['psnr']:.1f} ± {row['psnr_error']:.1f}",
        f"{row['psnr_worst']:.1f}",
        f"{row['ssim']:.3f}",
        f"{row['all_marks']:.2f}",
        _difference(row, "to_paper"),
        _difference(row, "to_fewer_steps"),
    ]


def _difference(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:+.1f} ± {row[f'{name}_error']:.1f}" if name in row else ""


def _aligned(rows: list[list[str]]) -> list[str]:
    rule = ["---" if column < LEFT else "--:" for column in range(len(HEADINGS))]
    lines = [list(HEADINGS), rule, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return [
        "| "
        + " | ".join(
            cell.ljust(width) if column < LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
