"""Carry prompts from the command line past Hydra's grammar, unharmed.

Hydra reads commas, quotes, `=`, `$`, parentheses and spaces in an override as syntax. A prompt may hold any of
them, so its bytes travel as hexadecimal digits inside a resolver call, `prompt=${literal:x61…}`, which OmegaConf
turns back into the text without looking into it.
"""

from collections.abc import Sequence

from omegaconf import OmegaConf

LITERAL_FIELDS = ("prompt", "negative_prompt", "batch", "output", "model.path")
"""Overrides whose value is taken literally, everything after the `=`."""

_RESOLVER = "literal"


def protect(arguments: Sequence[str]) -> list[str]:
    """The command line with the value of every literal field encoded; `null` and `???` stay Hydra's own words."""
    return [_protect_one(argument) for argument in arguments]


def register() -> None:
    """Make OmegaConf know how to decode what `protect` has encoded."""
    OmegaConf.register_new_resolver(_RESOLVER, _decode, replace=True)


def _protect_one(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not equals or name.lstrip("+") not in LITERAL_FIELDS or value in ("null", "???"):
        return argument
    digits = value.encode("utf-8", "surrogateescape").hex()
    return f"{name}=${{{_RESOLVER}:x{digits}}}"


def _decode(encoded: str) -> str:
    # A byte that is not UTF-8 was typed in another encoding; show it as such rather than fail far from its cause.
    return bytes.fromhex(encoded[1:]).decode("utf-8", "replace")
