"""How Sphinx builds these pages."""

from jupyter_tasks import __version__

project = "jupyter_tasks"
copyright = "the jupyter_tasks developers"  # noqa: A001 - Sphinx wants this name
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
html_theme = "pydata_sphinx_theme"
html_title = "jupyter_tasks"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
nitpicky = False
