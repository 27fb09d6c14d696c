"""How far an estimate is from the batch that follows it: a demo batch on this machine, from a run of other prompts.

First a few videos are rendered, whose records are what the estimate learns from. Then `orchestrator.estimate` says
what other prompts will take, these are rendered, and both are compared, from the start of the command to its end.
Run it on a machine that does nothing else: ranks on the CPU feel every other process.

--quick renders two videos and then two.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.arguments import parser, write_json
from orchestrator.project import PROJECT

_COLOURS = ("red", "blue", "green", "yellow", "white", "orange", "cyan", "purple")
_SHAPES = ("circle", "square", "triangle", "ring")


def prompts(number: int, *, after: int = 0) -> list[str]:
    """Captions of the demo model's kind, each another."""
    all_of_them = [
        f"a large {colour} {shape} moving up on a black background" for shape in _SHAPES for colour in _COLOURS
    ]
    return all_of_them[after : after + number]


def command(name: str, *arguments: str) -> list[str]:
    """A command line of the product."""
    return [sys.executable, "-m", f"orchestrator.{name}", "+job=demo", *arguments]


def render(batch: Path, output: Path) -> float:
    """Seconds of a launch, from its start to its end."""
    begin = perf_counter()
    subprocess.run(
        command("launch", f"batch={batch}", f"output={output}"), cwd=PROJECT, check=True, stderr=subprocess.DEVNULL
    )
    return perf_counter() - begin


def estimate(batch: Path, output: Path, *measured: str) -> dict[str, Any]:
    """What the command says of a batch."""
    asked = command("estimate", f"batch={batch}", f"output={output}", *measured, "--json")
    said: dict[str, Any] = json.loads(subprocess.run(asked, cwd=PROJECT, check=True, capture_output=True).stdout)
    return said


def compare(folder: Path, *, learned: int, rendered: int) -> dict[str, Any]:
    """Learn from some videos, estimate others, and render them."""
    first, second = folder / "first.txt", folder / "second.txt"
    first.write_text("\n".join(prompts(learned)), encoding="utf-8")
    second.write_text("\n".join(prompts(rendered, after=learned)), encoding="utf-8")
    blind = estimate(second, folder / "second")
    render(first, folder / "first")
    said = estimate(second, folder / "second", f"estimate.measured={folder / 'first'}")
    taken = render(second, folder / "second")
    return {
        "videos": rendered,
        "learned_from": learned,
        "estimated_seconds": said["seconds"],
        "blind_seconds": blind["seconds"],
        "measured_seconds": taken,
        "ratio": said["seconds"] / taken,
        "blind_ratio": blind["seconds"] / taken,
    }


def main() -> None:
    """Render, compare and print."""
    command_line = parser(__doc__ or "")
    command_line.add_argument("--videos", type=int, default=10, help="of the batch that is estimated (default 10)")
    given = command_line.parse_args()
    learned, rendered = (2, 2) if given.quick else (4, given.videos)
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(Path(folder), learned=learned, rendered=rendered)
    print("| total of a demo batch | seconds | of the measured |\n|---|--:|--:|")
    print(f"| measured, {rendered} videos | {figures['measured_seconds']:.1f} | 1.00 |")
    print(f"| estimated from {learned} others | {figures['estimated_seconds']:.1f} | {figures['ratio']:.2f} |")
    print(f"| estimated without them | {figures['blind_seconds']:.1f} | {figures['blind_ratio']:.2f} |")
    write_json(given.json, figures)


if __name__ == "__main__":
    main()
