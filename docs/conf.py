"""The site of the documents: `make docs` builds docs/_build/html without network; warnings are errors."""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

from mnflow import __version__

project, author, release = "mnflow", "mnflow developers", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mnflow {release}"
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "__init__"}
python_use_unqualified_type_names = True


def notebook(script: str) -> str:
    """A script whose cells begin with `# %% TITLE` as a Jupyter notebook."""
    text, *cells = re.split(r"^# %% ", script, flags=re.MULTILINE)
    found = [_cell("markdown", text.strip().strip('"'), "title")]
    for i, cell in enumerate(cells):
        title, _, code = cell.partition("\n")
        found += [_cell("markdown", f"## {title}", f"title-{i}"), _cell("code", code.strip(), f"code-{i}")]
    return json.dumps({"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _cell(kind: str, source: str, name: str) -> dict[str, object]:
    ran = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source, **ran}


def write_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Write the examples that have cells as notebooks, beside the pages that link them."""
    for script in (Path(app.srcdir) / "examples").glob("*.py"):
        if "\n# %% " in (text := script.read_text(encoding="utf-8")):
            (Path(app.outdir) / f"{script.stem}.ipynb").write_text(notebook(text), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", write_notebooks)
