"""The command line that all benchmarks share, and what they do with their figures."""

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with --quick and --json, which every benchmark takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it runs, not for figures")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    return made


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures with the machine they were measured on, if a file was asked for."""
    if path is None:
        return
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": version("torch"),
        "diffusers": version("diffusers"),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.write_text(json.dumps({"machine": machine, **figures}, indent=2) + "\n", encoding="utf-8")
