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

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "literal_blocks", "modules_directive"]
root_doc = "index"
exclude_patterns = ["_build", "_ext"]
default_role = "literal"  # `name` in a docstring is a name
nitpicky = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

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
