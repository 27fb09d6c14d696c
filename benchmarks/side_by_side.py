"""The README's first picture: videos of the demo with most rounds forecast, beside all rounds full.

Prompts, seed, size and forecast settings are those of `make demo`; frames are drawn by the product's own filmstrip:
first, middle and last of each video.

    python -m benchmarks.side_by_side --output docs/side_by_side.png
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.arguments import parser, write_json
from benchmarks.demo_model import REQUEST, DemoModel
from benchmarks.quality_thresholds import ERROR_BUDGETS, budget_settings
from benchmarks.quiet import silence_libraries
from orchestrator.filmstrip import write_filmstrip
from orchestrator.project import PROJECT
from spectrum import ForecastSettings, Method

DEMO_SETTINGS = budget_settings(ERROR_BUDGETS["plain"][14])
"""Those of forecast=tiny_wan_adaptive."""
PROMPTS = PROJECT / "jobs" / "demo_prompts.txt"
NUM_PROMPTS = 3
NUM_FRAMES = 3
_BACKGROUND, _INK, _FONT_SIZE, _HEADER, _MARGIN = (250, 250, 250), (25, 25, 25), 20, 40, 12

Row = tuple[NDArray[np.uint8], NDArray[np.uint8], str]
"""Frames with forecasts, frames of the full render, and the prompt."""


def draw(rows: Sequence[Row], titles: tuple[str, str]) -> Image.Image:
    """Two columns of filmstrips under their titles, a row for each prompt."""
    strips = [(_strip(forecast, prompt), _strip(full, prompt)) for forecast, full, prompt in rows]
    width = max(left.width for left, _ in strips)
    height = _HEADER + sum(max(left.height, right.height) for left, right in strips)
    sheet = Image.new("RGB", (width + max(right.width for _, right in strips), height), _BACKGROUND)
    draw_on, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for column, title in enumerate(titles):
        draw_on.text((column * width + _MARGIN, _MARGIN), title, fill=_INK, font=font)
    top = _HEADER
    for left, right in strips:
        sheet.paste(left, (0, top))
        sheet.paste(right, (width, top))
        top += max(left.height, right.height)
    return sheet


def _strip(frames_FHWC: NDArray[np.uint8], prompt: str) -> Image.Image:
    chosen = np.linspace(0, len(frames_FHWC) - 1, NUM_FRAMES).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strip.png"
        write_filmstrip(path, frames_FHWC[chosen], prompt=prompt)
        return Image.open(path).convert("RGB")


def main() -> None:
    """Render, draw, and say what was drawn."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--output", type=Path, metavar="FILE", help="the picture; without it, none is written")
    given = arguments.parse_args()
    silence_libraries()
    model, rows, figures = DemoModel(), [], []
    for prompt in PROMPTS.read_text(encoding="utf-8").splitlines()[: 1 if given.quick else NUM_PROMPTS]:
        request = replace(REQUEST, prompt=prompt, forecast=DEMO_SETTINGS)
        forecast = model.render(request)
        full = model.render(replace(request, forecast=ForecastSettings(method=Method.NONE)))
        rows.append((forecast.frames, full.frames, prompt))
        figures.append(
            {
                "prompt": prompt,
                "num_full": forecast.num_full_rounds,
                "forecast_seconds": forecast.seconds,
                "full_seconds": full.seconds,
            }
        )
        print(
            f"{forecast.num_full_rounds:.0f} full rounds {forecast.seconds:5.1f} s, "
            f"{full.num_full_rounds:.0f} full rounds {full.seconds:5.1f} s of the processor  {prompt}"
        )
    if given.output is not None:
        counts = ", ".join(f"{one['num_full']:.0f}" for one in figures)
        titles = (
            f"{counts} of {REQUEST.num_steps} rounds full, the others forecast",
            f"all {REQUEST.num_steps} rounds full",
        )
        draw(rows, titles).save(given.output, optimize=True)
    write_json(given.json, {"videos": figures})


if __name__ == "__main__":
    main()
