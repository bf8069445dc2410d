"""How the documentation is built: ``tox -e docs``."""

from __future__ import annotations

import gp_aiogram

project = "gp_aiogram"
author = copyright = "the gp_aiogram authors"  # noqa: A001 - Sphinx's own name
version = release = gp_aiogram.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gp_aiogram {release}"
html_theme_options = {
    "source_repository": "https://github.com/gp-aiogram/gp-aiogram/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}

# References in docstrings must resolve. Types are left out: many are of other projects, whose
# inventories would need the network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r".*"),
    ("py:exc", r"(?!gp_aiogram).*"),
    ("py:obj", r".*\.[A-Z]"),  # type variables
]
suppress_warnings = ["misc.highlighting_failure"]  # CSV has no lexer
