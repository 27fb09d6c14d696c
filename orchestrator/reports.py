"""What ranks tell the scheduler. Small, plain and picklable: never frames or latents."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from spectrum import Round


class Stage(StrEnum):
    """What is being done to a video, in this order."""

    ENCODE = "encode"  # the prompt becomes embeddings
    DENOISE = "denoise"  # noise becomes latents
    DECODE = "decode"  # latents become frames
    PUBLISH = "publish"  # frames become an mp4, a filmstrip and a sidecar


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundReport:
    """One round that was run."""

    step: int
    kind: Round
    seconds: float
    forecast_error: float | None = None
    """Of a full round: how far the forecast that would have been made was off, relative to the features' norm."""
    is_fallback: bool = False
    """Whether the round is full because its forecast was not trusted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """A stage, or a part of one, that a rank has finished."""

    stage: Stage
    seconds: float
    rounds: tuple[RoundReport, ...] = ()
    """The rounds of one segment (denoise)."""
    is_complete: bool = True
    """Whether the stage is over (denoise ends with the last segment)."""
    result: Any = None
    """What a calibration asked for: lists of numbers."""
