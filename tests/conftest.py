"""Shapes in signatures are checked in tests alone; random checkpoints are shared."""

from __future__ import annotations

import os
from pathlib import Path

# As the command line does it: the same bits with any number of threads.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import pytest
from tests.shapes import check_shapes_of

ROOMS_WITH_TENSORS = [
    "memory",
    "layout",
    "eight_bits",
    "buffers",
    "records",
    "masks",
    "cache",
    "attention",
    "policies",
    "filters",
    "retrieval",
]
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless ``HERMES_LONG`` is set, as `.ci/run` does."""
    if not os.environ.get("HERMES_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long; HERMES_LONG=1 runs it"))
