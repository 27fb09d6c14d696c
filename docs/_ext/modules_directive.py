"""`.. modules:: PACKAGE`: the docstrings of every module of a package, each under a heading of its own."""

from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles


class ModulesDirective(SphinxDirective):
    """Lists modules by what stands in the package's folder, so that a new one is never forgotten."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Sections, one for each module."""
        package = self.arguments[0]
        lines: list[str] = []
        for name in module_names(package):
            file = str(import_module(name).__file__)
            self.env.note_dependency(file)
            members = "   :no-members:" if file.endswith("__init__.py") else "   :members:"
            heading = [] if name == package else [name, "=" * len(name), ""]
            lines += [*heading, f".. automodule:: {name}", members, ""]
        parent = nodes.section()
        parent.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, source=package), parent)
        return parent.children


def module_names(package: str) -> list[str]:
    """Full names of a package and its modules, those of its folders after its own, each folder's own name first."""
    root = Path(str(import_module(package).__file__)).parent
    files = [file for file in root.rglob("*.py") if file.name != "__main__.py"]
    files.sort(key=lambda file: (file.parent != root, file.parent, file.name != "__init__.py", file))
    return [
        ".".join(part for part in (package, *file.relative_to(root).with_suffix("").parts) if part != "__init__")
        for file in files
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("modules", ModulesDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
