"""No text of others steers a terminal."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.terminal import PrintableFormatter, one_line, printable

HOSTILE = {
    "title of the window": "\x1b]0;owned\x07",
    "screen wiped": "\x1b[2J\x1b[1;1H",
    "C1 control": "\x9b2J\x85",
    "bell and backspace": "\x07\x08",
    "line written over": "done\rfailed",
    "right to left": "\u202egnp.exe",
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_control_characters_and_marks_of_direction_become_blanks(text):
    assert one_line(f"a {text}\n{text} b").isprintable()
    assert all(sign.isprintable() or sign == "\n" for sign in printable(f"a {text}\n{text} b"))


@given(st.text())
def test_any_text_becomes_printable_and_nothing_more_happens_to_it_then(text):
    shown = one_line(text)
    assert shown.isprintable() and one_line(shown) == shown
    lines = printable(text)
    assert lines.count("\n") == text.count("\n") and printable(lines) == lines


def test_what_can_be_printed_stays():
    assert printable("  'ä 円 🎈'\n  [bold]") == "  'ä 円 🎈'\n  [bold]"


def test_colours_of_a_traceback_go_without_a_trace():
    assert printable("\x1b[36mray::do()\x1b[39m (pid=7)\n  failed") == "ray::do() (pid=7)\n  failed"


def test_log_lines_are_printable_whatever_is_put_into_them():
    record = logging.LogRecord("orchestrator", logging.ERROR, "", 0, "%s failed", ("\x1b]0;owned\x07 \u202e",), None)
    assert PrintableFormatter("%(message)s").format(record) == " ]0;owned    failed"
