"""Shapes in signatures are checked in tests alone; random checkpoints are shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# The rooms that hold tensors; in production nobody pays for the check.
ROOMS_WITH_TENSORS = (
    *("layout", "buffers", "cache", "attention", "policies", "filters", "retrieval", "models", "stream"),
)
install_import_hook("hermes_stream.memory", "beartype.beartype")
# The hook evaluates this text; modules of tests are no attributes of each other in pytest's import mode.
CHECK_SHAPES = "importlib.import_module('tests.shapes').check_shapes"
install_import_hook([f"hermes_stream.{room}" for room in ROOMS_WITH_TENSORS], CHECK_SHAPES)


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
