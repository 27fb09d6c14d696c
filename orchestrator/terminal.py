"""Text of others on a terminal: prompts, names and errors, without what would steer it."""

import logging
import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Of tracebacks, as Ray prints them."""


def printable(text: str) -> str:
    """The text, with its line ends; a blank for every other sign that cannot be printed, such as an escape."""
    lines = _COLOURS.sub("", text).split("\n")
    return "\n".join("".join(sign if sign.isprintable() else " " for sign in line) for line in lines)


def one_line(text: str) -> str:
    """The text in one line, `printable`, with single blanks."""
    return " ".join(printable(text).split())


class PrintableFormatter(logging.Formatter):
    """Log lines that are `printable`, whatever was put into them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        return printable(super().format(record))
