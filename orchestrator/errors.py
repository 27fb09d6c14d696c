"""Every error that this package raises on purpose.

OrchestratorError
├── BadInput          what the user asked for cannot be done; found before anything expensive; exit status 2
├── DecodeMemoryError decoding did not fit; the latents are kept, and the message says what to change
└── GangFailed        a rank of a gang died or raised; carries the rank's own traceback; exit status 1
"""


class OrchestratorError(Exception):
    """Base of all of them."""


class BadInput(OrchestratorError):
    """The user's input cannot be used. The message is one line: field, value, what is allowed."""

    def __init__(self, message: str) -> None:
        """Signs that cannot be printed, which a path or a prompt may hold, are written as escapes."""
        super().__init__("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in message))


class DecodeMemoryError(OrchestratorError):
    """Decoding ran out of memory."""


class GangFailed(OrchestratorError):
    """A rank of a gang died or raised."""
