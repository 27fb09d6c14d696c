"""Time limits, as people and as SLURM write them."""

import re

from orchestrator.errors import BadInput

MINUTE, HOUR, DAY = 60, 3600, 86_400
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def parse_time(text: str, field: str) -> int:
    """Seconds of a time limit.

    Args:
        text: 8h, 90m, 1d12h; or SLURM's minutes, minutes:seconds, hours:minutes:seconds, days-hours,
            days-hours:minutes, days-hours:minutes:seconds.
        field: what the message names.

    Raises:
        BadInput: it cannot be read, or is nothing.
    """
    seconds = _parse_units(text) or _parse_clock(text)
    if not seconds:
        raise BadInput(f"{field}={text} must be a time such as 8h, 90m, 1d12h, 480 (minutes), 08:00:00 or 1-12:00:00")
    return seconds


def format_time(seconds: int) -> str:
    """As SLURM reads it: days-hours:minutes:seconds."""
    days, rest = divmod(seconds, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    return f"{days}-{hours:02}:{minutes:02}:{rest:02}"


def driver_seconds(signal_seconds: float) -> float:
    """How long a driver may take to stop, of the seconds before the end: the rest is for Ray's and the way back."""
    return max(signal_seconds / 2, signal_seconds - MINUTE)


def _parse_units(text: str) -> int | None:
    found = _UNITS.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        return None
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return days * DAY + hours * HOUR + minutes * MINUTE


def _parse_clock(text: str) -> int | None:
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        return None
    days = found.group(1)
    numbers = [int(part) for part in found.groups()[1:] if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return int(days) * DAY + hours * HOUR + minutes * MINUTE + seconds
    match numbers:
        case [minutes]:
            return minutes * MINUTE
        case [minutes, seconds]:
            return minutes * MINUTE + seconds
        case [hours, minutes, seconds]:
            return hours * HOUR + minutes * MINUTE + seconds
    raise AssertionError(numbers)
