"""What the libraries need before they run without CUDA. Imported on machines without a GPU only.

Each item says what is wrong, and where it would be mended upstream. Nothing else in the project patches anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_accelerator() -> Iterator[None]:
    """Let `torch.accelerator.device_count()` say 1 while diffusers sets parallelism up.

    diffusers 0.42 computes `rank % torch.accelerator.device_count()`, a division by zero where the only device is
    the CPU: `ModelMixin._resolve_parallel_config` in diffusers/models/modeling_utils.py (0.41 had no such line).
    """
    count = torch.accelerator.device_count
    torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count
