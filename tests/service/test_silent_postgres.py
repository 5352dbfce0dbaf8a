"""A Postgres that hangs is found out, and holds nothing up; one that lets no more in is waited for."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.server.served import listening
from tests.service.postgres import new_database, running_postgres
from tests.waiting import until

from hermes_stream.errors import StoreError
from hermes_stream.service import Service, ServiceSettings, postgres
from hermes_stream.service.events import NewEvent
from hermes_stream.service.store import Store

FEW_SECONDS = 25  # a machine that is busy with other tests takes longer than the 10 s that are promised


class Hanging:
    """A server of one test, which can be made to hang."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self.address = folder, new_database(address, folder)

    @contextmanager
    def hangs(self, store: Store):
        """Freeze all that belongs to it."""
        with store.database.reading() as connection:
            found = connection.execute(text("SELECT pid FROM pg_stat_activity")).scalars().all()
        pids = [int((self._folder / "base/postmaster.pid").read_text().split()[0]), *found]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def hanging():
    folder = Path(tempfile.mkdtemp(prefix="hermes-pg-"))
    try:
        with running_postgres(folder) as address:
            yield Hanging(folder, address)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def gap(number: int) -> NewEvent:
    return NewEvent(kind="gap", wall_seconds=float(number), payload={"number": number})


def test_a_record_that_hangs_is_away_and_all_is_written_when_it_goes_on(hanging, tmp_path):
    store = Store(tmp_path, hanging.address)
    with hanging.hangs(store):
        began = time.monotonic()
        for number in range(700):  # more than are tried at once
            store.tell(gap(number))
        with pytest.raises(StoreError, match="cannot be read: the database server does not answer"):
            store.events.read()
        with pytest.raises(StoreError, match="was not written: the database server does not answer"):
            store.writer.write(lambda connection: connection.execute(text("SELECT 1")).scalar())
        assert "does not answer" in store.writer.failure
        assert time.monotonic() - began < FEW_SECONDS
    until(lambda: store.writer.failure is None and store.writer.num_waiting == 0)
    assert [one.payload["number"] for one in store.events.read(limit=1000)] == list(range(700))
    store.close()


def test_a_service_on_a_record_that_hangs_says_so_and_ends(hanging, tmp_path):
    service = Service("tiny", tmp_path, settings=ServiceSettings(store=hanging.address))
    with ExitStack() as ending:
        one = ending.enter_context(listening(service))
        for name in ("door", "yard", "roof", "gate"):
            one.open_watched(name, 2)
        with hanging.hangs(service._running.store):
            began = time.monotonic()
            asked = one.http.post("/v1/streams/door/ask", json={"question": "what is on screen now?"})
            assert asked.status_code == 200
            refused = one.http.get("/v1/events")
            assert refused.status_code == 503
            assert "does not answer" in refused.json()["error"]["message"]
            assert one.http.get("/metrics").status_code == 200
            until(lambda: "does not answer" in one.http.get("/health").text, FEW_SECONDS)
            assert time.monotonic() - began < 2 * FEW_SECONDS
            began = time.monotonic()
            ending.close()
            service.close(drain_seconds=0)
            assert time.monotonic() - began < FEW_SECONDS


def test_a_statement_that_takes_long_is_waited_for(hanging, tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_SILENT_SECONDS", 0.1)
    store = Store(tmp_path, hanging.address)
    assert store.writer.write(lambda connection: connection.execute(text("SELECT 1, pg_sleep(2)")).scalar())
    store.close()


def test_more_readers_than_the_server_lets_in_wait_for_one_another(hanging, tmp_path):
    with psycopg.connect(hanging.address) as connection:
        connection.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 5")
        connection.execute("ALTER SCHEMA public OWNER TO few")
    store = Store(tmp_path, hanging.address.replace("hermes@", "few@"))

    def read(_: int) -> int:
        with store.database.reading() as connection:
            return connection.execute(text("SELECT 1, pg_sleep(0.05)")).scalar()

    with ThreadPoolExecutor(16) as readers:
        assert list(readers.map(read, range(160))) == [1] * 160
    store.close()
