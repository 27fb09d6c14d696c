"""A picture of a run's page, from a real run: its beginning beside one video's own view.

The run should have videos beside their full renders:

    python -m orchestrator.launch +job=demo quality.reference=2 output=outputs/pictured
    python -m benchmarks.page_picture outputs/pictured --output docs/page.png
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from benchmarks.browser import open_browser
from orchestrator.artifacts import RunFolder

VIEW = {"width": 820, "height": 900}
"""Pixels of each of the two."""
GAP = 24
SETTLED = 1500
"""Milliseconds until pictures and videos have come from the disk."""
_BACKGROUND = (128, 128, 128)
_STILL = """() => document.querySelectorAll("video").forEach((one) => {
  one.pause();
  if (Number.isFinite(one.duration)) one.currentTime = one.duration / 2;  // those of the grid are not loaded
})"""


def draw(run_folder: RunFolder) -> Image.Image:
    """The page's beginning on the left; on the right the view of its first video."""
    with open_browser() as browser:
        page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
        page.goto(run_folder.page.as_uri())
        page.wait_for_selector(".card")
        grid = _shot(page)
        page.locator(".grid .card").first.click()
        page.wait_for_selector(".rounds-chart svg")
        page.wait_for_timeout(SETTLED)
        page.evaluate(_STILL)
        video = _shot(page)
    sheet = Image.new("RGB", (grid.width + GAP + video.width, grid.height), _BACKGROUND)
    sheet.paste(grid, (0, 0))
    sheet.paste(video, (grid.width + GAP, 0))
    return sheet


def _shot(page: Page) -> Image.Image:
    page.wait_for_timeout(SETTLED)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    """Draw and save."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("run", type=Path, help="output folder of a run")
    command.add_argument("--output", type=Path, default=Path("page.png"), help="default %(default)s")
    arguments = command.parse_args()
    run_folder = RunFolder(arguments.run.absolute())
    if not run_folder.page.is_file():
        sys.exit(f"{arguments.run} has no index.html: python -m orchestrator.page {arguments.run} writes it")
    draw(run_folder).save(arguments.output)


if __name__ == "__main__":
    main()
