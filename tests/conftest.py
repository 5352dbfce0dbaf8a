"""Shapes in signatures are checked in tests alone; random checkpoints are shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shapes import check_shapes_of

ROOMS_WITH_TENSORS = ["memory", "layout", "buffers", "cache", "attention", "policies", "filters", "retrieval"]
check_shapes_of([*ROOMS_WITH_TENSORS, "models", "stream"])


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
