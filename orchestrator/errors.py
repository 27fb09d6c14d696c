"""Every error that this package raises on purpose.

OrchestratorError
├── BadInput          what the user asked for cannot be done; found before anything expensive; exit status 2
└── GangFailed        a rank of a gang died or raised; carries the rank's own traceback; exit status 1
"""


class OrchestratorError(Exception):
    """Base of all of them."""


class BadInput(OrchestratorError):
    """The user's input cannot be used. The message is one line: field, value, what is allowed."""


class GangFailed(OrchestratorError):
    """A rank of a gang died or raised."""
