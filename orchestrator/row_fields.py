"""The fields that a row of a manifest may have, and their values: from what was typed to Python's types."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from orchestrator.config import ForecastConfig
from orchestrator.request import Request

FORECAST = "forecast"
MOST_SEEDS = 100_000
MOST_NAME_LENGTH = 200
MOST_PRIORITY = 1_000_000

_SIZE = re.compile(r"(\d{1,9})\s*[x×]\s*(\d{1,9})", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,100}", re.ASCII)
_SHOWN_LENGTH = 60


@dataclass(slots=True)
class TypedRow:
    """The values that a row gives, of their types; ranges are not checked here."""

    request: dict[str, Any] = field(default_factory=dict)
    """By field of `Request`, `forecast` apart."""
    forecast: dict[str, Any] = field(default_factory=dict)
    """By field of `ForecastConfig`."""
    num_seeds: int = 1
    name: str | None = None
    priority: int = 0
    problems: list[str] = field(default_factory=list)

    def copy(self) -> "TypedRow":
        """The same values, without the problems."""
        return TypedRow(
            request=dict(self.request),
            forecast=dict(self.forecast),
            num_seeds=self.num_seeds,
            name=self.name,
            priority=self.priority,
        )


def read_fields(typed: Mapping[str, Any], row: TypedRow) -> None:
    """Put the values of a row into `row`, over those that it has, and what cannot be into its problems."""
    if "size" in typed and ("height" in typed or "width" in typed):
        row.problems.append("size and height or width are both given: give one of them")
    for name, value in typed.items():
        if name == FORECAST:
            _read_forecast(value, row)
            continue
        put = _PUT.get(name)
        if put is None:
            row.problems.append(_no_such_field(name))
            continue
        if value is None and name not in _NULLABLE:
            continue
        try:
            put(row, value)
        except ValueError as error:
            row.problems.append(f"{name}={shown(value)} {error}")


def problem_of_name(name: str) -> str | None:
    """Why there is no such field; None where there is."""
    return None if name in _PUT or name == FORECAST else _no_such_field(name)


def _no_such_field(name: str) -> str:
    close = get_close_matches(name, _PUT, n=1)
    if close:
        return f"{shown(name)} is no field of a request; did you mean {close[0]}?"
    allowed = [one for one in _PUT if not one.startswith(f"{FORECAST}.")]
    return f"{shown(name)} is no field of a request; allowed: {', '.join(allowed)}, {FORECAST}.*"


def shown(value: Any) -> str:
    """A value for an error message: as it was typed where that is short and plain."""
    text = value if isinstance(value, str) and value.strip() == value and value else repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"


def _read_forecast(value: Any, row: TypedRow) -> None:
    if isinstance(value, Mapping):
        read_fields({f"{FORECAST}.{name}": one for name, one in value.items()}, row)
    else:
        row.problems.append(
            f"{FORECAST}={shown(value)} must be a mapping such as growth: 3, or fields of their own: forecast.growth"
        )


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text: put it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a sign (a lone surrogate), which is no text") from error
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number")


def _to_float(value: Any) -> float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            return float(value) + 0.0  # no -0.0, which has another hash
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a number")


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError("must be true or false")


def _converter(hint: Any) -> Callable[[Any], Any]:
    """From what was typed to the type that a field is annotated with; kinds that are not known pass as they are."""
    if get_origin(hint) in (Union, UnionType):
        [hint] = [one for one in get_args(hint) if one is not NoneType][:1]
    known: dict[Any, Callable[[Any], Any]] = {str: _to_text, int: _to_int, float: _to_float, bool: _to_bool}
    return known.get(hint, lambda value: value)


def _is_nullable(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)


def _in_range(value: Any, least: int, most: int) -> int:
    number = _to_int(value)
    if not least <= number <= most:
        raise ValueError(f"must lie in {least}..{most}")
    return number


def _put_prompt(row: TypedRow, value: Any) -> None:
    text = _to_text(value)
    if not text.strip():
        raise ValueError("is empty: say what the video should show")
    row.request["prompt"] = text


def _put_size(row: TypedRow, value: Any) -> None:
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be height x width in pixels, such as 480x832")
    row.request["height"], row.request["width"] = map(int, match.groups())


def _put_seeds(row: TypedRow, value: Any) -> None:
    row.num_seeds = _in_range(value, 1, MOST_SEEDS)


def _put_name(row: TypedRow, value: Any) -> None:
    text = _to_text(value)
    if not text.strip() or len(text) > MOST_NAME_LENGTH or not text.isprintable():
        raise ValueError(f"must be 1..{MOST_NAME_LENGTH} signs in one line")
    row.name = text


def _put_priority(row: TypedRow, value: Any) -> None:
    row.priority = _in_range(value, -MOST_PRIORITY, MOST_PRIORITY)


def _put_into(group: str, name: str, hint: Any) -> Callable[[TypedRow, Any], None]:
    convert, is_nullable = _converter(hint), _is_nullable(hint)

    def put(row: TypedRow, value: Any) -> None:
        is_null = is_nullable and (value is None or value == "null")
        getattr(row, group)[name] = None if is_null else convert(value)

    return put


_PUT: dict[str, Callable[[TypedRow, Any], None]] = {
    **{name: _put_into("request", name, hint) for name, hint in get_type_hints(Request).items() if name != FORECAST},
    "prompt": _put_prompt,
    "size": _put_size,
    "seeds": _put_seeds,
    "name": _put_name,
    "priority": _put_priority,
    **{
        f"{FORECAST}.{one.name}": _put_into("forecast", one.name, get_type_hints(ForecastConfig)[one.name])
        for one in fields(ForecastConfig)
        if one.name != "for_model"
    },
}
"""How each field's value gets into a row."""

_NULLABLE = {f"{FORECAST}.{name}" for name, hint in get_type_hints(ForecastConfig).items() if _is_nullable(hint)}
"""Fields of which null says something: error_budget, max_history, half_life."""
