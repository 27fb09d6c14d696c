"""What a field of the configuration may be, where it is one of a few words."""

from enum import StrEnum
from typing import TypeVar

from orchestrator.errors import BadInput

AUTO = "auto"


class ClusterKind(StrEnum):
    """Where the ranks run."""

    NONE = "none"
    LOCAL = "local"
    RAY = "ray"


class Device(StrEnum):
    """What a rank computes on."""

    CPU = "cpu"
    CUDA = "cuda"


class DType(StrEnum):
    """Number format of the transformer and the text encoder."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


E = TypeVar("E", bound=StrEnum)


def choose(kind: type[E], value: str, field: str) -> E:
    """The member of `kind` that was typed, in whatever case.

    Raises:
        BadInput: there is none; the line names the field and what is allowed.
    """
    try:
        return kind(value.lower())
    except ValueError as error:
        raise BadInput(f"{field}={value} must be one of: {', '.join(kind)}") from error


def choose_or_auto(kind: type[E], value: str, field: str) -> E | None:
    """The member of `kind` that was typed, or None for "auto".

    Raises:
        BadInput: it is neither.
    """
    if value.lower() == AUTO:
        return None
    try:
        return kind(value.lower())
    except ValueError as error:
        raise BadInput(f"{field}={value} must be one of: {', '.join([AUTO, *kind])}") from error
