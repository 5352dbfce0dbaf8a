"""Shapes in signatures of ``memory/`` are checked in tests only; random checkpoints are shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("hermes_stream.memory", "beartype.beartype")


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA-OneVision checkpoint with ten layers."""
    from tests.checkpoints import save_random_checkpoint

    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def model(checkpoint_folder: Path):
    """The same, loaded."""
    from hermes_stream import load_model

    return load_model(checkpoint_folder, device="cpu")


pytest_plugins = ["tests.commands"]
