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


def hide_gpus() -> None:
    """Let this process render on the CPU where there are GPUs. Before anything asks torch for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def gpu_model() -> str | None:
    """What the driver calls this machine's first GPU, such as NVIDIA H200; None where it does not say."""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        found = re.search(r"^Model:\s*(.+)$", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if found:
            return found[1].strip()
    return None


def count_cpus() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0))
