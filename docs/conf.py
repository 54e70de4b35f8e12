"""The site of the documents: `make docs` builds it into docs/_build/html, without network, warnings as
errors.
"""

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
