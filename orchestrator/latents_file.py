"""A video's finished latents on disk, from before its decoding to after its publishing.

Decoding can run out of memory after an hour of denoising. Whatever happens to it, the next launch goes on from here.
"""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from orchestrator.artifacts import publish
from orchestrator.reports import RoundReport, Stage
from spectrum import Round

log = logging.getLogger("orchestrator")
_META = "spectrum-orchestrator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Denoised:
    """What is known of a video once it is denoised."""

    latents: torch.Tensor
    """(1, C, F, H, W), float32."""
    rounds: tuple[RoundReport, ...]
    stage_seconds: dict[Stage, float]
    layout: dict[str, Any] = field(default_factory=dict)
    """How the gang split the video, as the sidecar says it."""
    peak_memory_bytes: int = 0
    """The largest of its ranks so far."""
    resumed: tuple[str, ...] = ()
    """Where the video was taken up again, and from what."""


def write_latents(path: Path, denoised: Denoised) -> None:
    """Publish the latents, whole or not at all."""
    record = {
        "rounds": [asdict(one) for one in denoised.rounds],
        "resumed": denoised.resumed,
        "layout": denoised.layout,
        "peak_memory_bytes": denoised.peak_memory_bytes,
        "stage_seconds": {stage.value: seconds for stage, seconds in denoised.stage_seconds.items()},
    }
    with publish(path) as temporary:
        tensors = {"latents": denoised.latents.detach().to("cpu", copy=True).contiguous()}
        save_file(tensors, temporary, metadata={_META: json.dumps(record)})


def read_latents(path: Path) -> Denoised:
    """The latents as they were written, on the CPU.

    Raises:
        ValueError: the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_META])
            latents = file.get_tensor("latents").clone()  # not a map of the file, which is removed later
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold a video's latents: {error}; delete it to render the video again"
        ) from error
    return Denoised(
        latents=latents,
        rounds=tuple(RoundReport(**{**one, "kind": Round(one["kind"])}) for one in record["rounds"]),
        resumed=tuple(record["resumed"]),
        layout=record["layout"],
        peak_memory_bytes=record["peak_memory_bytes"],
        stage_seconds={Stage(stage): seconds for stage, seconds in record["stage_seconds"].items()},
    )


def try_latents(path: Path) -> tuple[Denoised | None, bool | None]:
    """The latents, and whether they could be read: False where they are damaged, None where they are not there.

    Raises:
        OSError: nobody knows, since the file system failed.
    """
    try:
        return read_latents(path), True
    except FileNotFoundError:
        return None, None
    except ValueError as error:
        log.warning("%s", error)
        return None, False
