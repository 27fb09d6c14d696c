"""Runs for the tests of the page, and what their pages are told."""

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.artifacts import RunFolder
from orchestrator.config import LaunchConfig
from orchestrator.launch_plan import LaunchPlan
from orchestrator.run import run_plan

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"'`${alert(3)}\\",
    "line\u2028separator\u2029and\nnewline",
    "\u202egnp.exe\u202c \u2066isolated\u2069",
    "<!-- --> ]]> &lt;b&gt; @SCRIPT@",
    "__proto__",
    "x" * 5000,
    "🎈" * 200 + "مرحبا",
]
"""Prompts that mean harm."""
PROMPTS = ["a large red circle moving left", "a small blue square", "a white ring"]


def tiny(config: LaunchConfig, folder: Path, prompts: Sequence[str] = PROMPTS) -> LaunchConfig:
    """A batch that takes seconds, rendered below the folder."""
    batch = folder / "prompts.txt"
    batch.write_text("\n".join(prompts))
    config.prompt, config.batch, config.output = None, str(batch), str(folder / "run")
    config.video.height = config.video.width = 32
    config.video.num_frames = 17
    return config


def render(plan: LaunchPlan) -> object:
    return run_plan(plan, console=Console(file=io.StringIO()))


def shown(run_folder: RunFolder) -> tuple[dict, list[dict]]:
    """What the page is told of the run, and of its videos."""
    script = run_folder.page_videos.read_text()
    head, videos = json.loads(f"[{script.removeprefix('runPage.run(').rstrip().removesuffix(');')}]")
    return head, videos


def until(page, expression: str, arg=None, *, timeout: float = 20.0) -> None:
    """Wait until an expression holds: playwright's own way evaluates text in the page, which this page forbids."""
    deadline = time.monotonic() + timeout
    while not page.evaluate(expression, arg):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)
