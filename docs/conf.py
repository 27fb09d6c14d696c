"""How Sphinx builds these pages: `make docs`. Text is Markdown, the reference comes from the docstrings."""

import importlib.metadata
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]

project = "spectrum-orchestrator"
author = "the authors of spectrum-orchestrator"
project_copyright = "Apache-2.0"
release = importlib.metadata.version("spectrum-orchestrator")
html_title = f"{project} {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.apidoc", "sphinx.ext.napoleon", "literal_blocks"]
root_doc = "index"
exclude_patterns = ["_build", "_ext", "api/*/modules.rst"]
default_role = "literal"  # `name` in a docstring is a name
nitpicky = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

PACKAGES = ("spectrum", "parallel", "orchestrator")
apidoc_modules = [
    {"path": f"../{package}", "destination": f"api/{package}", "exclude_patterns": [f"../{package}/**/__main__.py"]}
    for package in PACKAGES
]
apidoc_separate_modules = True
apidoc_module_first = True
apidoc_automodule_options = {"members"}

autodoc_default_options = {"ignore-module-all": True}  # what a package passes on is described where it is written
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
