"""One server for each module of tests, all with one model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.server.served import Served, serving


@pytest.fixture(scope="session")
def tiny():
    from hermes_stream import load_model

    return load_model("tiny", device="cpu")


@pytest.fixture(scope="module")
def served(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("service"), model=tiny) as one:
        yield one
