"""Settings of the documentation site: ``make docs`` writes it to build/docs, without a network."""

import logging

from hermes_stream import __version__

# Where torchao is installed it tells of kernels that it cannot load; pages do not need them.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)

project = "hermes-stream"
version = release = __version__
html_title = f"hermes-stream {__version__}"
html_theme = "furo"
html_show_copyright = False
html_copy_source = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["pictures"]
myst_heading_anchors = 3  # links such as evals.md#the-world, as they work where Markdown is read as it stands

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Differs", "notes_style"), ("Paper", "notes_style")]
napoleon_use_ivar = True
