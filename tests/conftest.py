"""Shapes in signatures are checked in tests alone; random checkpoints are shared."""

from __future__ import annotations

import os
import time
from pathlib import Path

# As the command line does it: the same bits with any number of threads.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
# Tables are as wide as without a terminal, whatever the one that tests are started from asks for.
os.environ.pop("COLUMNS", None)

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
# What waits for servers, cameras, clocks and other programs.
TIMED = [
    *("client", "cluster", "integrations", "lab/bench", "lab/stress", "server", "service", "video"),
    *("test_examples.py", "test_nginx.py", "lab/cli/test_stopping.py"),
    *(
        f"cli/test_{name}.py"
        for name in ("chat", "conversation", "serving", "told_outside", "typed_lines", "watches_killed")
    ),
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


@pytest.fixture
def machine_zone(monkeypatch: pytest.MonkeyPatch):
    """Return what puts this machine into a time zone; it is back where it was at the end."""

    def move(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


pytest_plugins = ["tests.commands"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what keeps real time; leave out what takes long unless ``HERMES_LONG`` is set, as in `.ci/run`."""
    timed = [Path(__file__).parent / one for one in TIMED]
    for item in items:
        if any(map(item.path.is_relative_to, timed)):
            item.add_marker("timed")
    if not os.environ.get("HERMES_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long; HERMES_LONG=1 runs it"))
