"""Records in SQLite and Postgres, and services on a random checkpoint."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from tests.service.postgres import new_database, running_postgres

from hermes_stream.service import Service, ServiceSettings
from hermes_stream.service.store import Store


@pytest.fixture(scope="session")
def postgres():
    """Make databases of a server that runs as long as the tests."""
    folder = Path(tempfile.mkdtemp(prefix="hermes-pg-"))  # the path of a socket must be short
    try:
        with running_postgres(folder) as address:
            yield lambda: new_database(address, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def store_address(request):
    """The address of an empty record, of each kind; None is SQLite in the folder."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")()


@pytest.fixture
def store(store_address, tmp_path):
    """An open record."""
    store = Store(tmp_path, store_address)
    yield store
    store.close()


@pytest.fixture
def serve(model, tmp_path):
    """Open services on one folder, one after the other; they are closed at the end."""
    opened = []

    def open_service(folder: Path = tmp_path / "service", **settings) -> Service:
        service = Service(model, folder, settings=ServiceSettings(**settings))
        opened.append(service)
        return service

    yield open_service
    for service in opened:
        service.close(drain_seconds=0)
