"""What this machine has to render on. Needs no torch, so that bad input is answered at once."""

import os
import re
from pathlib import Path


def count_gpus() -> int:
    """GPUs of this machine that this process may use: the driver's device files, less what the environment hides."""
    present = sum(1 for file in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", file.name))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    chosen = [name for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    return min(present, len(chosen))


def count_cpus() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0))
