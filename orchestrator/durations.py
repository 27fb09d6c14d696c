"""Seconds, for people."""


def format_seconds(seconds: float) -> str:
    """Such as 4.2 s, 3:07 or 2:15:00."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
