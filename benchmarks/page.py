"""The page of a run of very many videos: what it takes to write it, and to use it in Chromium.

A folder is made with sidecars for all videos and a few real mp4s behind them; the page is written from nothing, and
again after one more video; then it is opened from the disk, filtered, sorted, turned, and a video is opened.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.arguments import parser, write_json
from benchmarks.browser import open_browser
from benchmarks.page_run import make_run, prompts_of
from orchestrator.artifacts import RunFolder
from orchestrator.page.files import PageFiles

CHOICES = {
    "filter, ms": {"q": "orange ring"},
    "sort, ms": {"sort": "speedup"},
    "turn the page, ms": {"page": "100"},
}
"""What is chosen in the page, each from the beginning."""
_CHOOSE = """(choice) => {
  const begin = performance.now();
  history.replaceState(null, "", `#${new URLSearchParams(choice)}`);
  dispatchEvent(new Event("choice"));
  document.body.getBoundingClientRect();
  return performance.now() - begin;
}"""
"""In the page: milliseconds until something else is shown, with its layout."""


def main() -> None:
    """Measure and print."""
    command = parser(__doc__ or "")
    command.add_argument("--videos", type=int, default=10_000)
    arguments = command.parse_args()
    num_videos = 500 if arguments.quick else arguments.videos
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "run"
        video_ids = make_run(root, prompts_of(num_videos))
        figures = {"videos": num_videos, **written(root, video_ids[-1]), **used(root)}
    for label, value in figures.items():
        print(f"{label:<28}{value:>10g}")
    write_json(arguments.json, figures)


def written(root: Path, last_id: str) -> dict[str, float]:
    """Seconds and sizes of the page's files: of all videos but one, and once this one is done."""
    run_folder, hidden = RunFolder(root), root / "hidden.json"
    page = PageFiles(run_folder)
    record = run_folder.video(last_id).sidecar
    record.rename(hidden)
    figures = {"write from nothing, s": seconds_of(page.write)}
    hidden.rename(record)
    figures["write after one more, s"] = seconds_of(page.write)
    figures["index.html, kB"] = run_folder.page.stat().st_size / 1e3
    figures["videos.js, MB"] = run_folder.page_videos.stat().st_size / 1e6
    return figures


def used(root: Path) -> dict[str, float]:
    """What it takes in Chromium."""
    with open_browser() as browser:
        page = browser.new_page()

        def open_page() -> None:
            page.goto(RunFolder(root).page.as_uri())
            page.wait_for_selector(".card")

        figures = {"open, s": seconds_of(open_page)}
        figures |= {label: page.evaluate(_CHOOSE, choice) for label, choice in CHOICES.items()}

        def open_video() -> None:
            page.locator(".grid .card").first.click()
            page.wait_for_selector(".rounds-chart svg")

        figures["open a video, s"] = seconds_of(open_video)
        figures["elements"] = page.evaluate("() => document.querySelectorAll('*').length")
        figures["memory of scripts, MB"] = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
    return figures


def seconds_of(work: Callable[[], Any]) -> float:
    """How long it takes, once."""
    begin = perf_counter()
    work()
    return perf_counter() - begin


if __name__ == "__main__":
    main()
