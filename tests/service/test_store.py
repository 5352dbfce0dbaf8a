"""The record: events numbered by one writer, in SQLite and in Postgres."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError
from tests.waiting import until

from hermes_stream.errors import StoreError, UnknownIncidentError, UnknownKeyError
from hermes_stream.service import tables
from hermes_stream.service.events import NewEvent
from hermes_stream.service.keys import Keys
from hermes_stream.service.question_log import AskedQuestion
from hermes_stream.service.store import Store


def gap(number: int, **fields) -> NewEvent:
    return NewEvent(kind="gap", wall_seconds=float(number), payload={"number": number}, **fields)


def settle(store: Store) -> None:
    store.writer.write(lambda connection: None)


def add_stream(store: Store, name: str = "door"):
    return store.streams.add(name, options={"fps": 1.0}, owner=None, wall_seconds=1.0)


def is_of_words(name: str | None) -> bool:
    return (name or "").startswith("event_words")


ASKED = AskedQuestion(
    stream_id=1,
    epoch=1,
    answer_id="a",
    asked_wall_seconds=5.0,
    pts_seconds=2.5,
    question="what?\0 \ud800",
    options=("a", "b"),
    remembered=True,
    answer="a",
    option_index=0,
    finish_reason="stop",
    failure=None,
    num_tokens=1,
    ttft_seconds=0.1,
    ttft_with_pending_seconds=0.2,
    confidence=0.5,
    evidence=({"seconds": 1.0, "picture": "0001-door/2026-01-01/1.000000.jpg"},),
)


def test_events_of_many_threads_are_numbered_in_order_of_their_commits(store):
    row, followed = add_stream(store), []

    def follow():
        for event in store.events.follow(0):
            followed.append(event)
            if len(followed) == 800:
                return

    def write(first):
        for number in range(first, first + 100):
            store.tell(gap(number, stream_id=row.id, epoch=1, pts_seconds=number / 2))

    threads = [threading.Thread(target=write, args=(100 * k,)) for k in range(8)]
    follower = threading.Thread(target=follow)
    for thread in [follower, *threads]:
        thread.start()
    for thread in [*threads, follower]:
        thread.join(20)
    assert [event.id for event in followed] == sorted({event.id for event in followed})
    assert {event.payload["number"] for event in followed} == set(range(800))
    assert store.events.read(limit=1000) == tuple(followed)
    for first in range(0, 800, 100):  # each writer's own order is kept
        own = [e.payload["number"] for e in followed if first <= e.payload["number"] < first + 100]
        assert own == sorted(own)


def test_events_are_chosen_by_stream_kind_and_time(store):
    door, desk = add_stream(store, "door"), add_stream(store, "desk")
    for number in range(6):
        owner = (door, desk, None)[number % 3]
        store.tell(replace(gap(number), stream_id=owner.id if owner else None, kind=f"kind{number % 2}"))
    settle(store)
    read = store.events.read

    def numbers(**chosen):
        return [event.payload["number"] for event in read(**chosen)]

    assert numbers() == list(range(6))
    assert numbers(stream_id=door.id) == [0, 3]
    assert numbers(kinds=["kind1"]) == [1, 3, 5]
    assert numbers(since=2, until=5) == [2, 3, 4]
    assert numbers(limit=2, newest_first=True) == [5, 4]
    third = read()[2]
    assert third.stream is None
    assert numbers(after=third.id) == [3, 4, 5]
    assert numbers(after=third.id, newest_first=True) == [1, 0]
    assert read()[0].stream == "door"
    with pytest.raises(ValueError, match=r"from 1 to 10000, got 0"):
        read(limit=0)


def test_a_follower_is_told_of_silence_and_can_be_stopped(store):
    stop, got = threading.Event(), []

    def follow():
        got.extend(store.events.follow(stop=stop, heartbeat_seconds=0.05))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    store.tell(gap(1))
    time.sleep(0.2)
    stop.set()
    thread.join(2)
    assert not thread.is_alive()
    assert got.count(None) >= 2
    assert [event.payload["number"] for event in got if event is not None] == [1]


def test_ids_of_deleted_events_do_not_come_again(store, store_address, tmp_path):
    row = add_stream(store)
    for number in range(3):
        store.tell(gap(number, stream_id=row.id))
    settle(store)
    newest = store.events.read()[-1].id
    store.streams.remove(row.id)
    assert store.events.read() == ()
    store.close()
    again = Store(tmp_path, store_address)
    again.tell(gap(9))
    settle(again)
    assert [event.id for event in again.events.read()] > [newest]
    assert add_stream(again).id > row.id
    again.close()


def test_a_deleted_stream_leaves_nothing(store):
    row = add_stream(store)
    store.tell(gap(1, stream_id=row.id))
    store.questions.add(replace(ASKED, stream_id=row.id))
    fields = {"epoch": 1, "path": "p", "pts_seconds": 1.0, "num_frames": 1, "num_bytes": 1, "is_kept": True}
    store.snapshots.add(row.id, created_wall_seconds=1.0, **fields)
    assert store.questions.cited_pictures(row.id) == {"0001-door/2026-01-01/1.000000.jpg"}
    store.streams.remove(row.id)
    store.tell(gap(2, stream_id=row.id))  # too late: it belongs to nobody
    settle(store)
    assert store.events.read() == store.snapshots.read() == store.questions.read() == ()
    assert store.writer.num_lost_events == 0


def test_a_question_is_recorded_as_it_can_be(store):
    row = add_stream(store)
    store.questions.add(replace(ASKED, stream_id=row.id))
    settle(store)
    (record,) = store.questions.read(stream_id=row.id)
    assert record.stream == "door"
    assert record.asked.question == "what?\N{REPLACEMENT CHARACTER} ?"
    assert replace(record.asked, question=ASKED.question, stream_id=1) == ASKED


def test_a_name_that_no_row_can_have_is_not_found_or_no_value_and_the_record_is_well(store):
    for look in (
        lambda: store.streams.find("a\0b"),
        lambda: store.events.read(kinds=["a\0b"]),
        lambda: store.incidents.find("a\0b"),
    ):
        with suppress(ValueError, UnknownIncidentError):
            assert not look()


def test_one_change_that_fails_does_not_take_others_along(store):
    add_stream(store)
    twice = insert(tables.streams).values(name="door", folder="", state="open", options={}, epoch=1)
    outcomes = [store.writer.submit(lambda connection: connection.execute(twice).close())]
    store.tell(gap(1))
    outcomes.append(store.writer.submit(lambda connection: 7))
    with pytest.raises(StoreError, match="was not written"):
        outcomes[0].result(5)
    assert outcomes[1].result(5) == 7
    assert len(store.events.read()) == 1
    with pytest.raises(ValueError, match="JSON"):
        store.tell(NewEvent(kind="gap", wall_seconds=0.0, payload={"number": float("nan")}))


def test_what_does_not_fit_the_queue_is_lost_and_counted(tmp_path):
    store = Store(tmp_path)
    go_on, began = threading.Event(), threading.Event()

    def hold(connection):
        began.set()
        go_on.wait(10)

    outcome = store.writer.submit(hold)
    began.wait(10)
    store.writer._max_waiting = 5
    for number in range(8):
        store.tell(gap(number))
    with pytest.raises(StoreError, match="5 changes wait"):
        store.writer.submit(lambda connection: None)
    go_on.set()
    outcome.result(10)
    settle(store)
    assert (len(store.events.read()), store.writer.num_lost_events) == (5, 3)
    store.close()


def test_events_wait_while_the_record_cannot_be_written(tmp_path, monkeypatch):
    store = Store(tmp_path)
    writing, tries = store.database.writing, []

    def full_at_first():
        tries.append(1)
        if len(tries) <= 3:
            raise OperationalError("INSERT of a secret", {}, OSError("disk full"))
        return writing()

    monkeypatch.setattr(store.database, "writing", full_at_first)
    began = time.monotonic()
    store.tell(gap(1))
    store.tell(gap(2))
    while not store.events.read() and time.monotonic() < began + 10:
        time.sleep(0.01)
    settle(store)
    assert [event.payload["number"] for event in store.events.read()] == [1, 2]
    assert time.monotonic() - began > 0.1  # it does not try without a pause
    assert store.writer.failure is None
    assert store.writer.num_lost_events == 0
    store.close()


def test_questions_wait_while_the_record_cannot_be_written_and_other_changes_are_told(tmp_path, monkeypatch):
    store = Store(tmp_path)
    row, writing, is_full = add_stream(store), store.database.writing, threading.Event()

    def full_for_a_while():
        if is_full.is_set():
            raise OperationalError("INSERT of a secret", {}, OSError("disk full"))
        return writing()

    monkeypatch.setattr(store.database, "writing", full_for_a_while)
    is_full.set()
    for asked in ("one?", "two?"):
        store.questions.add(replace(ASKED, stream_id=row.id, question=asked, answer_id=asked))
    with pytest.raises(StoreError, match="was not written"):
        store.writer.write(lambda connection: None)
    assert store.questions.read() == ()
    is_full.clear()
    until(lambda: len(store.questions.read()) == 2)
    assert {one.asked.question for one in store.questions.read()} == {"one?", "two?"}
    is_full.set()
    store.questions.add(replace(ASKED, stream_id=row.id))
    store.close()
    assert store.writer.num_lost_events == 1


def test_the_steps_make_the_tables(store):
    with store.database.reading() as connection:
        # the index of words is made in ways of each database, which no table describes
        options = {"compare_type": False, "include_name": lambda name, *_: not is_of_words(name)}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
        if store.database.is_sqlite:
            made = connection.execute(text("SELECT sql FROM sqlite_master WHERE type='table'")).scalars()
            own = [
                sql for sql in made if not any(part in sql for part in ("alembic", "sqlite_", "event_words"))
            ]
            assert len(own) == 10
            assert all("AUTOINCREMENT" in sql for sql in own if "reviews" not in sql)
            (mode,) = connection.exec_driver_sql("PRAGMA journal_mode").one()
            (level,) = connection.exec_driver_sql("PRAGMA synchronous").one()
            assert (mode, level) == ("wal", 2)


def test_a_record_of_a_newer_version_is_refused(store, store_address, tmp_path):
    with store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
    store.close()
    with pytest.raises(StoreError, match="newer version of hermes-stream"):
        Store(tmp_path, store_address)


def test_a_file_that_is_no_record_is_refused(tmp_path):
    (tmp_path / "events.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"events.sqlite cannot be opened: file is not a database"):
        Store(tmp_path)


@pytest.mark.parametrize("address", ["mysql://u:planted@h/n", "planted"])
def test_an_address_that_is_none_is_refused_without_its_password(address, tmp_path):
    with pytest.raises(StoreError, match="accepted: postgresql://") as caught:
        Store(tmp_path, address)
    assert "planted" not in str(caught.value)


def test_a_server_that_is_away_is_told_without_its_password(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Store(tmp_path, "postgresql://u:planted@127.0.0.1:1/n")
    assert "planted" not in str(caught.value)


def test_one_database_has_one_service(postgres, tmp_path):
    address = postgres()
    first = Store(tmp_path / "a", address)
    with pytest.raises(StoreError, match="another service writes to"):
        Store(tmp_path / "b", address)
    first.close()
    Store(tmp_path / "b", address).close()


def cut_all(store: Store) -> None:
    """Cut all connections of a database, as its server does when it is started again."""
    with store.database.reading() as connection, suppress(OperationalError):
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{cut} AND pid <> pg_backend_pid()"))
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_one_database_has_one_service_also_after_it_was_started_again(postgres, tmp_path):
    address = postgres()
    first = Store(tmp_path / "a", address)
    cut_all(first)
    first.writer.write(lambda _: None)
    with pytest.raises(StoreError, match="another service writes to"):
        Store(tmp_path / "b", address)
    cut_all(first)
    second = Store(tmp_path / "b", address)  # the first had nothing to write meanwhile
    with pytest.raises(OperationalError, match="another service writes to"), first.database.writing():
        pass  # whoever writes may try again, as where the server is away
    with pytest.raises(StoreError, match="another service writes to"):
        first.writer.write(lambda _: None)
    second.close()
    first.writer.write(lambda _: None)
    with pytest.raises(StoreError, match="another service writes to"):
        Store(tmp_path / "b", address)
    first.close()


def test_keys_are_shown_once_and_stored_as_hashes(store):
    secret, record = store.keys.create("phone", ["ask", "read"], max_questions=5)
    assert store.keys.verify(secret) == store.keys.get(record.id) == record
    assert record.allows("ask")
    assert not record.allows("admin")
    assert store.keys.verify(secret + "x") is store.keys.verify("") is None
    with store.database.reading() as connection:
        stored = str(connection.execute(tables.keys.select()).all())
    assert secret not in stored
    store.keys.revoke(record.id)
    assert store.keys.verify(secret) is store.keys.get(record.id) is None
    assert store.keys.list()[0].revoked_wall_seconds is not None
    with pytest.raises(UnknownKeyError, match="no key 99"):
        store.keys.revoke(99)
    with pytest.raises(ValueError, match="some of read, ask, watch, admin; got all"):
        store.keys.create("x", ["all"])


def test_a_key_that_was_revoked_is_good_for_nothing_from_then_on(store):
    (_, first), (_, second) = (store.keys.create(label, ["admin"]) for label in "ab")
    store.keys.revoke(first.id)
    assert store.keys.good([first.id, second.id, 99]) == {second.id}
    revoked, good = store.keys.list()
    assert not revoked.allows("read")
    assert good.allows("read")
    store.keys.revoke(first.id)
    assert store.keys.list()[0] == revoked, "since when is not changed"
    with pytest.raises(ValueError, match="got none"):
        store.keys.create("x", [])


def test_a_key_cannot_be_guessed_and_keeps_its_quotas(store):
    made = [store.keys.create("x", ["read"], max_streams=2, max_questions=7) for _ in range(2)]
    assert len({secret for secret, _ in made}) == 2
    assert all(len(secret) > 40 for secret, _ in made)
    assert {(one.max_streams, one.max_questions) for _, one in made} == {(2, 7)}


def test_keys_are_shown_of_a_record_that_is_there_alone(tmp_path):
    with pytest.raises(StoreError, match="no record of a service"), Keys.open(tmp_path / "a", makes=False):
        pass
    assert not (tmp_path / "a").exists()
    with Keys.open(tmp_path / "b") as keys:
        keys.create("x", ["read"])
    with Keys.open(tmp_path / "b", makes=False) as keys:
        assert len(keys.list()) == 1


def test_keys_can_be_made_beside_a_running_service(store, store_address, tmp_path):
    with Keys.open(tmp_path, store_address) as keys:
        secret, _ = keys.create("cli", ["admin"])
    assert store.keys.verify(secret).allows("watch")


def test_a_record_shrinks_by_what_was_deleted(tmp_path):
    store = Store(tmp_path)
    for number in range(2000):
        store.tell(replace(gap(number), payload={"text": "x" * 500}))
    settle(store)
    before = store.database.num_bytes
    store.writer.write(lambda connection: connection.execute(tables.events.delete()).close())
    assert store.database.num_bytes < before / 5
    store.database.give_back_space()
    assert (tmp_path / "events.sqlite").stat().st_size < before / 5
    store.close()
