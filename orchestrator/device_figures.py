"""What this process says of its device: in a video's record, and after an error."""

import resource

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory so far: of the GPU for this video, of the process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """As CUDA names it; "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def is_usable(device: torch.device) -> bool:
    """Whether the device still does what it is told: after an illegal access no call to a GPU succeeds."""
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True
