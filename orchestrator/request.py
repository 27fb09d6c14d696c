"""What is to be rendered, and its name."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
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
    rounded_noise: bool = False
    """Whether the first latents are rounded to bfloat16: the same video but for rounding, to show the noise floor."""

    @property
    def is_guided(self) -> bool:
        """Whether the unconditional branch is run as well, as in diffusers."""
        return self.guidance_scale > 1

    def as_json(self) -> dict[str, Any]:
        """Plain values, for files and hashes. What is asked for in noise floors alone is not said of other videos."""
        values = asdict(self)
        if not self.rounded_noise:
            del values["rounded_noise"]
        return values


def video_id(request: Request, *, model_fingerprint: str, dtype: str) -> str:
    """A content hash of the request and the model: the same request always has the same id.

    It is the hash of `{"dtype": …, "model": …, "request": request.as_json()}`, put together from its parts.
    """
    encode = _CANONICAL.encode
    values = ",".join(
        f"{encode(name)}:{_forecast_text(request.forecast) if name == 'forecast' else encode(getattr(request, name))}"
        for name in (_FIELDS if request.rounded_noise else _FIELDS_OF_MOST)
    )
    text = f'{{"dtype":{encode(dtype)},"model":{encode(model_fingerprint)},"request":{{{values}}}}}'
    return _sha256(text)[:VIDEO_ID_LENGTH]


@lru_cache(maxsize=1024)
def _forecast_text(forecast: ForecastSettings) -> str:
    """Once for all requests that share their settings: with a calibration it is most of what is hashed."""
    return _CANONICAL.encode(asdict(forecast))


def content_hash(value: object) -> str:
    """sha256, in hexadecimal, of a value's canonical JSON."""
    return _sha256(_CANONICAL.encode(value))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))
_FIELDS = sorted(field.name for field in fields(Request))
_FIELDS_OF_MOST = [name for name in _FIELDS if name != "rounded_noise"]
