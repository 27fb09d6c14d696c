"""Indented blocks of a docstring, which are code, equations and trees of files, keep their lines."""

from sphinx.application import Sphinx


def keep_lines(_app: Sphinx, _what: str, _name: str, _subject: object, _options: object, lines: list[str]) -> None:
    """Mark indented blocks between paragraphs as literal; those of Args and the like follow no blank line."""
    made: list[str] = []
    before = ""
    for line in lines:
        if line.startswith(" ") and made and not made[-1] and before and not before.startswith(" "):
            made += ["::", ""]
        made.append(line)
        before = line or before
    lines[:] = made


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", keep_lines, priority=400)  # before napoleon, which has 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
