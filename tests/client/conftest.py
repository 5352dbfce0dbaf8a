"""A server on a real socket, which clients speak with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.server.served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("service")) as one:
        one.open_watched("door")
        yield one
