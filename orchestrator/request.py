"""What is to be rendered, and its name."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from spectrum import ForecastSettings

VIDEO_ID_LENGTH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One video. Everything in it decides its pixels; nothing else about a run does, but for the model."""

    prompt: str
    negative_prompt: str
    seed: int
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    num_frames: int
    fps: int
    num_steps: int
    guidance_scale: float
    flow_shift: float
    forecast: ForecastSettings
    decode_tiling: bool = False
    """Whether latents are decoded tile by tile, which changes pixels near the tiles' edges."""

    @property
    def is_guided(self) -> bool:
        """Whether the unconditional branch is run as well, as in diffusers."""
        return self.guidance_scale > 1

    def as_json(self) -> dict[str, Any]:
        """Plain values, for files and hashes."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"forecast": dict(_forecast_as_json(self.forecast))}


@lru_cache(maxsize=1024)
def _forecast_as_json(forecast: ForecastSettings) -> dict[str, Any]:
    """Once for all the requests of a batch that share their settings: `asdict` takes longer than a request's hash."""
    return asdict(forecast)


def video_id(request: Request, *, model_fingerprint: str, dtype: str) -> str:
    """A content hash of the request and the model: the same request always has the same id."""
    return content_hash({"request": request.as_json(), "model": model_fingerprint, "dtype": dtype})[:VIDEO_ID_LENGTH]


def content_hash(value: object) -> str:
    """sha256, in hexadecimal, of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
