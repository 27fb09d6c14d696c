"""Figures that outlive the run: each is printed, and the file written anew, as soon as it is known."""

from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.arguments import write_json


class Report:
    """What has been measured so far, and what was left out and why."""

    def __init__(self, path: Path | None, arguments: dict[str, Any]) -> None:
        """`path`: the JSON file, or None for printed figures alone."""
        self._path = path
        self._begin = monotonic()
        self.figures: dict[str, Any] = {"arguments": arguments, "parts": {}, "skipped": {}, "failed": {}}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._begin

    def line(self, text: str) -> None:
        """Print a line with the time since the start, at once."""
        print(f"[{self.elapsed:6.1f} s] {text}", flush=True)

    def add(self, part: str, name: str, value: Any, text: str) -> None:
        """A figure of a part, and how it reads."""
        self.figures["parts"].setdefault(part, {})[name] = value
        self.line(f"{part}: {text}")
        self._write()

    def skip(self, what: str, reason: str) -> None:
        """Something that is not measured."""
        self.figures["skipped"][what] = reason
        self.line(f"{what}: skipped, {reason}")
        self._write()

    def fail(self, what: str, error: Exception) -> None:
        """Something that could not be measured."""
        self.figures["failed"][what] = describe(error)
        self.line(f"{what}: FAILED, {describe(error)}")
        self._write()

    def finish(self) -> None:
        """Write the file for the last time."""
        self.figures["seconds"] = self.elapsed
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        # Renamed when whole: a run that is cut off in the middle of writing leaves the file as it was before.
        unfinished = self._path.with_name(f".{self._path.name}.tmp")
        write_json(unfinished, self.figures)
        unfinished.replace(self._path)


class Deadline:
    """When the run has to be over."""

    def __init__(self, seconds: float | None, report: Report) -> None:
        """`seconds`: from the report's start; None for as long as it takes."""
        self._seconds = seconds
        self._report = report

    def allows(self, what: str, predicted: float) -> bool:
        """Whether something that is predicted to take so many seconds fits; if not, says that it is skipped."""
        if self._seconds is None:
            return True
        left = self._seconds - self._report.elapsed
        if predicted <= left:
            return True
        self._report.skip(what, f"predicted {predicted:.0f} s do not fit the {max(left, 0):.0f} s left")
        return False


def describe(error: Exception) -> str:
    """An error in one line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:240]
