"""Check the shapes in signatures of ``memory/`` at run time, in tests only."""

from __future__ import annotations

from jaxtyping import install_import_hook

install_import_hook("hermes_stream.memory", "beartype.beartype")
