"""Settings of the documentation site: ``make docs`` writes it to build/docs, without a network."""

from __future__ import annotations

from hermes_stream import __version__

project = "hermes-stream"
version = release = __version__
html_title = f"hermes-stream {__version__}"
html_theme = "furo"
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["pictures"]
suppress_warnings = ["myst.strikethrough"]
myst_heading_anchors = 3  # links such as evals.md#the-world, as they work where Markdown is read as it stands

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Differs", "notes_style"), ("Paper", "notes_style")]
napoleon_use_ivar = True
