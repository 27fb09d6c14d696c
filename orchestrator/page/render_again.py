"""The command that renders one video again, from its sidecar: all that its request says, and the rest as launched."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.config import ForecastConfig
from orchestrator.errors import BadInput
from orchestrator.sbatch_script import bash_word

_OF_THE_BATCH = ("batch", "output", "dry_run", "cluster.address")
_OF_THE_REQUEST = ("prompt", "negative_prompt", "seed", "video", "decode.tiling")
_GROUPS_LEFT_OUT = ("job.", "video.", "denoise.", "quality.", "retry.", "checkpoint.")
_CALIBRATED = "calibrated"


def render_again(sidecar: Mapping[str, Any]) -> str | None:
    """A bash command, on one line; None where no command line can say what was rendered.

    Settings of the launch that change no pixel, such as the layout, stay as they were typed. A calibration is far too
    long for a command line: it stays as it was chosen.
    """
    try:
        request, provenance = sidecar["request"], sidecar["provenance"]
        if request.get("rounded_noise"):
            return None
        typed = _typed(provenance["command"]) or [f"+job={provenance['job']}"]
        is_calibrated = request["forecast"]["method"] == _CALIBRATED
        kept = [argument for argument in typed if _stays(argument, is_calibrated=is_calibrated)]
        said = _request_words(request)
        forecast = () if is_calibrated else _forecast_words(request["forecast"])
        words = ["python", "-m", "orchestrator.launch", *kept, *said, *forecast]
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        BadInput,
    ):  # of another version, or not written by this program
        return None
    return " ".join(map(bash_word, words))


def _typed(command: str) -> list[str]:
    """The launch's own arguments; none where something else has started it."""
    words = shlex.split(command)
    for index, word in enumerate(words):
        if word == "orchestrator.launch" or word.endswith("orchestrator/launch.py"):
            return words[index + 1 :]
    return []


def _stays(argument: str, *, is_calibrated: bool) -> bool:
    field = argument.partition("=")[0].lstrip("+~")
    if field == "forecast" or field.startswith("forecast."):
        return is_calibrated
    return field not in (*_OF_THE_BATCH, *_OF_THE_REQUEST) and not field.startswith(_GROUPS_LEFT_OUT)


def _request_words(request: Mapping[str, Any]) -> Iterator[str]:
    yield f"prompt={request['prompt']}"
    yield f"negative_prompt={request['negative_prompt']}"
    yield f"seed={request['seed']}"
    for name in ("height", "width", "num_frames", "fps"):
        yield f"video.{name}={request[name]}"
    for name in ("num_steps", "guidance_scale", "flow_shift"):
        yield f"denoise.{name}={request[name]}"
    if request["decode_tiling"]:
        yield "decode.tiling=true"


def _forecast_words(forecast: Mapping[str, Any]) -> Iterator[str]:
    """The file of settings that is next, and what differs from it."""
    is_none = forecast["method"] == "none"
    yield f"forecast={'none' if is_none else 'spectrum'}"
    defaults = ForecastConfig(method="none" if is_none else "spectrum")
    for name, value in forecast.items():
        if name in ("axis_shift", "calibration"):  # which follow from the others
            continue
        if value != getattr(defaults, name):
            yield f"forecast.{name}={_hydra_value(value)}"


def _hydra_value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value)
