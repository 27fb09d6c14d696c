"""Quality of every forecaster and plan on the demo model, beside just fewer steps, diffusers' caches and noise.

Every row renders the same captions from the same noise, in two regimes: the demo's own settings, and a hard one. PSNR
and SSIM compare its decoded video with the one of 50 full rounds; the scorer says whether it still shows its caption.
No calibration and no choice of settings has seen the captions.

    python -m benchmarks.quality --workers 2     # hours; goes on where it was broken off
    python -m benchmarks.quality --report        # the table over what has been rendered so far

Results are kept in a folder (--work), a line for each video; of rows whose settings have changed, and of those alone,
videos are rendered again. All rows of a caption are done before the next caption, in both regimes.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser, write_json
from benchmarks.quality_figures import errors_of, finder, sweep_of, table_of
from benchmarks.quality_regimes import REGIMES
from benchmarks.quality_report import EXPLANATION, markdown, page
from benchmarks.quality_rows import TARGETS, missing_calibrations
from benchmarks.quality_store import Store
from benchmarks.quality_work import SWEEP_CAPTIONS, render_missing

CAPTIONS = 64
QUICK_CAPTIONS = 16
WORK = Path("~/.cache/spectrum-orchestrator/quality")


def main(arguments: Sequence[str] | None = None) -> None:
    """Render what is missing, and report."""
    options = _options(arguments)
    regimes = [regime for regime in REGIMES if options.regime in (None, regime.name)]
    folder = options.work.expanduser()
    for name in [name for regime in regimes for name in missing_calibrations(regime)]:
        print(f"{name} is not there: its row is left out")
    if not options.report:
        render_missing(folder, regimes, options.captions, options.workers, options.row)
    figures = collect(Store.of_demo_model(folder), regimes, options.captions)
    print(f"\n{EXPLANATION}")
    for regime in regimes:
        print(f"\n{markdown(regime, figures[regime.name]['rows'])}")
    write_json(options.json, {"captions": options.captions, "regimes": figures})
    if options.plots is not None:
        plot(figures, options.plots)
    if options.page is not None:
        plots = options.page.with_suffix("")
        files = plot(figures, plots)
        tables = {regime: figures[regime.name]["rows"] for regime in regimes}
        options.page.write_text(
            page(tables, [file.relative_to(options.page.parent) for file in files]), encoding="utf-8"
        )


def plot(figures: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the plots of all regimes to a folder; what was written."""
    # Here and not above: the plots alone need matplotlib.
    from benchmarks.quality_plots import plot_errors, plot_sweep  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, of_regime in figures.items():
        files.append(folder / f"psnr_{name}.png")
        plot_sweep(of_regime["sweep"], files[-1], title=f"{name} regime")
        for target, errors in of_regime["forecast_errors"].items():
            files.append(folder / f"error_{name}_{target}.png")
            plot_errors(errors, files[-1], title=f"{name} regime, {target} full rounds")
    return [file for file in files if file.is_file()]


def collect(store: Store, regimes: Sequence[Any], captions: int) -> dict[str, dict[str, Any]]:
    """All figures, by regime."""
    collected = {}
    for regime in regimes:
        find = finder(store, regime, captions)
        collected[regime.name] = {
            "guidance_scale": regime.guidance_scale,
            "flow_shift": regime.flow_shift,
            "rows": table_of(regime, find),
            "sweep": sweep_of(regime, find, min(captions, SWEEP_CAPTIONS)),
            "forecast_errors": {target: errors_of(regime, find, target) for target in TARGETS},
        }
    return collected


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    command = parser(__doc__ or "")
    command.add_argument(
        "--captions", type=int, help=f"captions to render (default {CAPTIONS}; with --quick {QUICK_CAPTIONS})"
    )
    command.add_argument("--workers", type=int, default=1, help="processes, of one thread each (default %(default)s)")
    command.add_argument("--work", type=Path, default=WORK, metavar="FOLDER", help="results (default %(default)s)")
    command.add_argument("--report", action="store_true", help="render nothing: report what is there")
    command.add_argument("--plots", type=Path, metavar="FOLDER", help="write plots to FOLDER")
    command.add_argument("--page", type=Path, metavar="FILE", help="write tables and plots as a page of Markdown")
    command.add_argument("--regime", choices=[regime.name for regime in REGIMES], help="this one alone")
    command.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="TEXT",
        help="render only rows with TEXT in their name; again for more",
    )
    options = command.parse_args(arguments)
    if options.captions is None:
        options.captions = QUICK_CAPTIONS if options.quick else CAPTIONS
    for name in ("captions", "workers"):
        if getattr(options, name) < 1:
            command.error(f"--{name}={getattr(options, name)} must be at least 1")
    return options


if __name__ == "__main__":
    main()
