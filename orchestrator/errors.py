"""Every error that this package raises on purpose.

OrchestratorError
├── BadInput          what the user asked for cannot be done; found before anything expensive; exit status 2
├── RenderMemoryError a stage of a video did not fit the GPU's memory; the message says what to change
├── GangFailed        a rank of a gang died or raised; carries the rank's own traceback; exit status 1
│   └── RankFailed    this process's own, which cannot go on: its video is counted as having failed
├── DiskFull          nothing can be written to the run folder any more; exit status 1
└── RayLost           a program of the Ray that this launch has started died or froze; Ray is started again
"""

from pathlib import Path


class OrchestratorError(Exception):
    """Base of all of them."""


class BadInput(OrchestratorError):
    """The user's input cannot be used. Each line of the message says field, value and what is allowed."""

    def __init__(self, *lines: str) -> None:
        """Signs that cannot be printed, which a path or a prompt may hold, are written as escapes."""
        super().__init__("\n".join(_printable(line) for line in lines))


class RenderMemoryError(OrchestratorError):
    """Denoising or decoding ran out of memory."""


class GangFailed(OrchestratorError):
    """A rank of a gang died or raised."""


class RankFailed(GangFailed):
    """A rank in this process raised, and cannot go on."""

    def __init__(self, cause: str, details: str) -> None:
        """`cause` is one line, `details` a traceback."""
        super().__init__(f"{cause}\n{details}".rstrip())
        self.cause = cause
        self.details = details


class DiskFull(OrchestratorError):
    """Nothing can be written to the run folder any more."""

    def __init__(self, folder: Path, reason: str) -> None:
        """`reason` is the system's own word for it."""
        super().__init__(
            f"output={folder} cannot be written: {reason}; what is done is kept: make room, and the same command "
            "goes on"
        )


class RayLost(OrchestratorError):
    """A program of the Ray that this launch has started died or froze, and every gang is lost with it."""


def _printable(line: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
