"""Several services on one record: a stream has one owner, and the record refuses what a former one writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from threading import Thread

import pytest
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from tests.checkpoints import random_frames, save_random_checkpoint
from tests.service.test_recovery import break_engine, keys_of
from tests.service.test_remote_snapshots import address as memories_url  # noqa: F401 - a fixture
from tests.service.test_remote_snapshots import s3_url  # noqa: F401 - a fixture
from tests.service.test_service import QUESTION, commit_journals, kinds, push
from tests.waiting import until

from hermes_stream import load_model
from hermes_stream.errors import HermesError, NotOwnerError, StoreError, UnknownStreamError
from hermes_stream.service import Service, ServiceSettings, incidents, served_stream, store_writer, tables
from hermes_stream.service.events import NewEvent
from hermes_stream.service.ownership.directory import Directory
from hermes_stream.service.ownership.membership import Membership
from hermes_stream.service.ownership.placement import Load
from hermes_stream.service.ownership.replica_rows import ReplicaRows
from hermes_stream.service.question_log import AskedQuestion
from hermes_stream.service.store import Store
from hermes_stream.service.watch_rows import keep_state

LEASE_SECONDS = 3.0  # a machine that is busy with other tests is no reason to lose a stream
SHORT_SECONDS = 1.0  # for what has to stand still for so long
FEW = {"policy": "hermes", "budget_tokens": 40, "chunk_frames": 4, "fps": 1.0}


@pytest.fixture
def replicas(postgres, tmp_path):
    """Open replicas of one record, each a store with its number."""
    address, opened = postgres(), []

    def open_replica(
        name: str, lease_seconds: float = 60.0, *, still_seconds: float = 60.0
    ) -> tuple[Store, ReplicaRows, int]:
        store = Store(tmp_path, address, shared=True)
        opened.append(store)
        rows = ReplicaRows(store.database, lease_seconds=lease_seconds)
        number = rows.join(name, f"http://{name}", "tiny")
        store.database.write_as(number, lease_seconds=still_seconds)  # a busy machine stands still, too
        return store, rows, number

    yield open_replica
    for store in opened:
        store.close()


def event(stream_id: int, epoch: int, text: str) -> NewEvent:
    return NewEvent(
        kind="gap", stream_id=stream_id, epoch=epoch, wall_seconds=time.time(), payload={"text": text}
    )


def question(stream_id: int, epoch: int) -> AskedQuestion:
    fields = dict.fromkeys(("pts_seconds", "option_index", "failure", "ttft_seconds", "confidence"))
    return AskedQuestion(
        stream_id=stream_id,
        epoch=epoch,
        answer_id=f"{stream_id}-{epoch}",
        asked_wall_seconds=0.0,
        question="what?",
        options=(),
        remembered=False,
        answer="a",
        finish_reason="stop",
        num_tokens=1,
        ttft_with_pending_seconds=None,
        evidence=(),
        **fields,
    )


def add_stream(store: Store, name: str = "door"):
    return store.streams.add(name, options={}, owner=None, wall_seconds=0.0)


def beat(rows: ReplicaRows, number: int):
    return rows.beat(Load(id=number, num_streams=0, more_streams=9))


def freeze(rows: ReplicaRows, number: int) -> None:
    """Let a replica's last sign of life be older than its lease, without waiting for it."""
    row, column = tables.replicas.c.id == number, tables.replicas.c.seen_wall_seconds
    with rows._database.placing() as connection:
        older = update(tables.replicas).where(row).values(seen_wall_seconds=column - rows.lease_seconds)
        connection.execute(older)


def test_the_record_refuses_all_that_a_former_owner_writes(replicas):
    first, rows, one = replicas("one")
    second, others, two = replicas("two")
    row = add_stream(first)
    first.tell(event(row.id, 1, "before"))
    until(lambda: first.events.read(kinds=["gap"]))
    beat(rows, one)
    assert others.take([row.id], two) == (), "it was seen just now"

    freeze(rows, one)
    (taken,) = others.take([row.id], two)
    assert (taken.epoch, taken.replica_id) == (2, two)

    first.tell(event(row.id, 1, "late"))
    first.questions.add(question(row.id, 1))
    until(lambda: first.writer.num_refused_events == 1)
    with pytest.raises(NotOwnerError, match=r"another replica's now.*epoch 1 .* is over, it is 2"):
        first.snapshots.add(
            row.id, epoch=1, path="x", is_kept=False, num_frames=1, num_bytes=1, created_wall_seconds=0.0
        )
    with pytest.raises(NotOwnerError, match="belongs to replica"):
        first.streams.change(row.id, state="closed")
    with pytest.raises(NotOwnerError, match="belongs to replica"):
        first.streams.remove(row.id)
    holding = beat(rows, one)
    assert holding.epochs == {}, "its next sign of life tells it"
    rows.release(row.id, one)
    assert others.owner_of("door").replica.name == "two"
    second.tell(event(row.id, 2, "after"))
    until(lambda: len(second.events.read(kinds=["gap"])) == 2)
    assert [one.payload["text"] for one in second.events.read(kinds=["gap"])] == ["before", "after"]
    assert second.questions.read() == ()


def test_a_replica_that_is_frozen_within_a_transaction_stops_no_other(replicas):
    first, rows, one = replicas("one", still_seconds=SHORT_SECONDS)
    second, others, two = replicas("two", SHORT_SECONDS)
    row = add_stream(first)
    rows.take([row.id], one)

    def take() -> bool:
        beat(others, two)
        return others.take([row.id], two) != ()

    def stand_still() -> None:
        with first.database.writing() as connection:
            connection.execute(update(tables.streams).where(tables.streams.c.id == row.id).values(name="x"))
            until(take)
            second.tell(event(row.id, 2, "not held up"))
            until(lambda: kinds_of(second) == ["gap"])

    with pytest.raises(SQLAlchemyError, match="idle-in-transaction timeout"):
        stand_still()
    first.tell(NewEvent(kind="gap", stream_id=None, epoch=0, wall_seconds=time.time(), payload={}))
    until(lambda: kinds_of(second) == ["gap", "gap"])


def test_what_stood_still_for_too_long_is_written_again(replicas, monkeypatch):
    first, rows, one = replicas("one", still_seconds=SHORT_SECONDS)
    row = add_stream(first)
    rows.take([row.id], one)
    insert = store_writer._insert_events
    pauses = [1.5 * SHORT_SECONDS] * 2

    def pause() -> None:
        time.sleep(pauses.pop() if pauses else 0.0)

    def slowly(connection, events):
        insert(connection, events)
        pause()

    def rename(connection) -> str:
        connection.execute(update(tables.streams).where(tables.streams.c.id == row.id).values(name="gate"))
        pause()
        return "done"

    monkeypatch.setattr(store_writer, "_insert_events", slowly)
    first.tell(event(row.id, 1, "kept"))
    until(lambda: kinds_of(first) == ["gap"])
    assert pauses == []
    assert first.writer.num_lost_events == 0
    pauses.append(1.5 * SHORT_SECONDS)
    assert first.writer.write(rename) == "done"
    assert [one.name for one in first.streams.all()] == ["gate"]


def kinds_of(store: Store) -> list[str]:
    return [one.kind for one in store.events.read()]


def incident_fields(stream_id: int, watch_id: int, epoch: int) -> dict:
    return {
        **{"stream_id": stream_id, "watch_id": watch_id, "name": "cat", "question": "a cat?", "epoch": epoch},
        **{"severity": "info", "started_seconds": 1.0, "started_wall_seconds": 1.0, "score": 0.9},
        **{"pictures": [], "evidence": []},
    }


def test_watches_and_incidents_are_the_owners_alone(replicas):
    first, rows, one = replicas("one")
    second, others, two = replicas("two")
    row = add_stream(first)
    watch = first.watches.add(row.id, "cat", {"question": "a cat?"})
    first.watches.save_states_soon({watch.id: {"count": 1}}, 1)
    first.writer.write(lambda c: incidents.begin(c, "1-1", incident_fields(row.id, watch.id, 1)))

    def state() -> dict:
        return second.watches.of_stream(row.id)[0].state

    until(lambda: state() == {"count": 1})
    with pytest.raises(NotOwnerError, match="belongs to replica"):
        second.watches.change(watch.id, name="dog")
    with pytest.raises(NotOwnerError, match="belongs to replica"):
        second.watches.remove(watch.id)
    with pytest.raises(NotOwnerError, match="belongs to replica"):
        second.writer.write(lambda c: incidents.change(c, "1-1", {"summary": "mine"}))

    freeze(rows, one)
    assert others.take([row.id], two)
    second.watches.save_states_soon({watch.id: {"count": 2}}, 2)
    until(lambda: state() == {"count": 2})
    first.watches.save_states_soon({watch.id: {"count": 9}}, 1)
    for late in (
        lambda: first.watches.add(row.id, "dog", {}),
        lambda: first.writer.write(lambda c: incidents.begin(c, "1-2", incident_fields(row.id, watch.id, 1))),
        lambda: first.writer.write(lambda c: incidents.change(c, "1-1", {"summary": "late", "epoch": 1})),
    ):
        with pytest.raises(NotOwnerError):
            late()
    first.tell(NewEvent(kind="watch_failed", stream_id=row.id, wall_seconds=0.0, payload={}))
    until(lambda: first.writer.num_refused_events == 1)
    second.watches.change(watch.id, settings={"question": "a dog?"})
    assert state() == {"count": 2}

    # the same replica again: what it still had to write of its own former time is refused, too
    freeze(others, two)
    beat(rows, one)
    assert rows.take([row.id], one)
    with pytest.raises(NotOwnerError, match=r"epoch 1 .* is over, it is 3"):
        first.writer.write(lambda c: keep_state(c, watch.id, {"count": 9}, 1))
    first.watches.change(watch.id, name="animal")
    (kept,) = first.watches.of_stream(row.id)
    assert (kept.name, kept.state) == ("animal", {"count": 2})
    first.streams.change(row.id, state="closed", replica_id=None)
    first.streams.remove(row.id)
    assert second.watches.of_stream(row.id) == ()


def test_a_stream_has_one_owner_however_many_reach_for_it(replicas):
    others = [replicas(f"r{k}") for k in range(4)]
    streams = [add_stream(others[0][0], f"s{k}").id for k in range(20)]
    for stream in streams:
        others[0][1].release(stream, others[0][2])
    got: dict[int, list[int]] = {}

    def reach(rows: ReplicaRows, number: int) -> None:
        for _ in range(10):
            got.setdefault(number, []).extend(row.id for row in rows.take(streams, number))

    threads = [Thread(target=reach, args=(rows, number)) for _, rows, number in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stream for taken in got.values() for stream in taken) == streams
    assert others[0][1].unowned() == ()


def test_one_feed_of_many_writers_has_no_gap_and_no_double(replicas):
    stores = [replicas(f"r{k}")[0] for k in range(3)]
    reader = stores[0]
    seen: list[int] = []
    following = reader.events.follow(0, heartbeat_seconds=0.05)

    def write(store: Store, k: int) -> None:
        row = add_stream(store, f"s{k}")
        for n in range(60):
            store.tell(event(row.id, 1, f"{k}-{n}"))
            time.sleep(0.002)

    threads = [Thread(target=write, args=(store, k)) for k, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    texts = []
    end = time.monotonic() + 20
    while len(texts) < 180 and time.monotonic() < end:
        reader.writer.look()
        if (found := next(following)) is not None:
            seen.append(found.id)
            texts.append(found.payload["text"])
    for thread in threads:
        thread.join()
    assert len(set(texts)) == len(texts) == 180
    assert seen == sorted(seen)


def test_sqlite_is_refused_with_the_reason(tmp_path):
    with pytest.raises(StoreError, match=r"replicas cannot share.*postgresql://"):
        Store(tmp_path, shared=True)


def test_a_service_that_is_alone_and_replicas_keep_each_other_out(replicas, postgres, tmp_path):
    store, _, _ = replicas("one")
    with pytest.raises(StoreError, match="another service"):
        Store(tmp_path, store.database._engine.url.render_as_string(hide_password=False))


@pytest.fixture
def join(model, postgres, tmp_path):
    """Open services that share record and folder, or a folder in an object store alone."""
    address, opened = postgres(), []

    def open_service(name: str, model=model, snapshots_url: str | None = None) -> Service:
        remote = {} if snapshots_url is None else {"send_journal_every_seconds": 0.1}
        settings = ServiceSettings(
            store=address, snapshot_every_seconds=60.0, snapshots_url=snapshots_url, **remote
        )
        membership = Membership(name, f"http://{name}", lease_seconds=LEASE_SECONDS)
        folder = tmp_path / ("shared" if snapshots_url is None else name)
        opened.append(Service(model, folder, settings=settings, membership=membership))
        opened[-1].address, opened[-1].folder = address, folder
        return opened[-1]

    yield open_service
    for service in opened:
        service.close(drain_seconds=0)


def names(service: Service) -> list[str]:
    return sorted(one.name for one in service.streams())


def test_a_replica_that_leaves_hands_over_what_is_remembered(join):
    first, second = join("one"), join("two")
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(11))
    first.ask("a", QUESTION, max_new_tokens=2).wait()
    assert [one._running._membership.is_first() for one in (first, second)] == [True, False]
    time.sleep(1.5 * LEASE_SECONDS)
    assert names(second) == [], "a replica that joins moves nothing"
    with pytest.raises(NotOwnerError, match=r"at another replica, or on its way to one; try again"):
        second.ask("a", QUESTION)
    with pytest.raises(UnknownStreamError, match="no stream 'b' is open"):
        second.ask("b", QUESTION)
    kept = keys_of(first, "a")
    first.close()
    until(lambda: names(second) == ["a"])
    status = second.stream("a")
    assert (status.replica, status.epoch, status.restored_until_seconds) == ("two", 2, 10.0)
    changes, tensors = keys_of(second, "a")
    assert changes == kept[0]
    assert all(tensors[name].equal(tensor) for name, tensor in kept[1].items())
    wanted = ["stream_released", "snapshot_saved", "stream_restored"]
    until(lambda: kinds(second, stream="a")[-3:] == wanted)


def test_a_deletion_that_was_cut_short_is_finished_by_the_next_replica(join, monkeypatch):
    first = join("one")
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(5))
    row = first._running.registry.find("a").row

    def cut_short(_):
        raise OSError("the power went")

    with monkeypatch.context() as dying:
        dying.setattr(served_stream.ServedStream, "delete_files", cut_short)
        with pytest.raises(OSError, match="power"):
            first.close_stream("a", delete=True)
    assert list(first.data_dir.rglob(row.folder))
    second = join("two")
    assert second._running.store.streams.find("a") is None
    assert not list(second.data_dir.rglob(row.folder))


def test_an_engine_that_fails_leaves_no_file_that_the_record_does_not_know(join):
    first, second = join("one"), join("two")
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(9))
    commit_journals(first)
    break_engine(first)
    until(lambda: first._running.thread.num_failures == 1)
    until(lambda: first.stream("a").memory is not None)
    push(first, "a", random_frames(12)[9:])
    known = {one.path for one in first._running.store.snapshots.read()}
    assert {str(path.relative_to(first.folder)) for path in first.folder.rglob("*.safetensors")} == known
    first.ask("a", "what came first?", max_new_tokens=2).wait()
    commit_journals(first)
    first._running._membership._tenancy.is_sound = lambda: False  # it hangs: nothing is saved, or given back
    until(lambda: names(second) == ["a"])
    assert second.stream("a").num_frames == 12
    undisturbed(second, "a", num_frames=12)


def test_replicas_without_a_folder_in_common_go_on_from_an_object_store(join, memories_url):  # noqa: F811
    first, second = join("one", snapshots_url=memories_url), join("two", snapshots_url=memories_url)
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(11))
    first.ask("a", "what came first?", max_new_tokens=2).wait()
    membership, journals = first._running._membership, first._running._remote_journals
    commit_journals(first)
    assert journals.flush(20)
    membership._tenancy.is_sound = lambda: False  # it hangs: nothing is saved, or given back
    until(lambda: names(second) == ["a"])
    status = second.stream("a")
    assert (status.epoch, status.num_frames, status.restored_until_seconds) == (2, 11, 10.0)
    undisturbed(second, "a", num_frames=11)
    until(lambda: names(first) == [])
    del membership._tenancy.is_sound
    until(lambda: membership.is_current)

    # back again, asked for: what lies on the first one's disk is older, and is not taken
    push(second, "a", random_frames(15)[11:])
    directory = Directory(first.address, lease_seconds=LEASE_SECONDS)
    directory.replicas.ask_to_move("a", "one")
    directory.close()
    until(lambda: names(first) == ["a"])
    until(lambda: first.stream("a").num_frames == 15)
    assert first.stream("a").epoch == 3
    assert first.ask("a", QUESTION, max_new_tokens=2).text
    folder = first._running.registry.find("a").row.folder
    first.close_stream("a", delete=True)
    assert first._running._remote._names(folder) == []
    assert journals._epochs(folder) == []


def test_another_model_begins_anew_and_says_so(join, tmp_path):
    first = join("one")
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(5))
    second = join("two", load_model(save_random_checkpoint(tmp_path / "other", seed=9)))
    first.close()
    until(lambda: names(second) == ["a"])
    (lost,) = until(lambda: second.events(stream="a", kinds=["memory_lost"]))
    assert "another" in lost.payload["reason"]
    assert second.stream("a").num_frames == 0
    push(second, "a", random_frames(9)[5:])
    assert second.ask("a", QUESTION, max_new_tokens=2).text


REFUSALS = (
    "refused NotOwnerError\n",
    "refused UnknownStreamError\n",
)  # by its fence; it had given the stream up
_FROZEN = """
import sys, time
from tests.checkpoints import random_frames
from tests.service.test_service import commit_journals, push
from hermes_stream.errors import HermesError
from hermes_stream.service import Service, ServiceSettings, incidents
from hermes_stream.service.ownership.directory import Directory
from hermes_stream.service.ownership.membership import Membership

checkpoint, folder, address, lease_seconds = *sys.argv[1:4], float(sys.argv[4])
settings = ServiceSettings(store=address, snapshot_every_seconds=60.0)
membership = Membership("frozen", "http://f", lease_seconds=lease_seconds)
service = Service(checkpoint, folder, settings=settings, membership=membership)
service.open_stream("a", policy="hermes", budget_tokens=40, chunk_frames=4, fps=1.0)
frames = random_frames(400)
push(service, "a", frames[:11])  # one by one: where chunks are folded is part of the memory
service.ask("a", "what came first?", max_new_tokens=2).wait()
commit_journals(service)
registry, stream = service._running.registry, service._running.registry.find("a")
newest, refused, now = 11, "", time.monotonic()
print("ready", flush=True)  # from here on it may be frozen anywhere
while not refused:
    time.sleep(0.01)
    before, now = now, time.monotonic()
    if now - before < lease_seconds / 2:  # wherever it was frozen
        continue
    # just awake: what was under way before it slept goes on
    stream.tell("gap", text="late")
    live = stream.live
    more = lambda: service.push_frames("a", frames[newest])
    for ask in (lambda: service.ask("a", "what came first?"), more):
        try:
            ask()
            print("answered", flush=True)
        except HermesError as error:
            refused = type(error).__name__
            print("refused", refused, flush=True)
deadline = time.monotonic() + 20
while registry.all() and time.monotonic() < deadline:
    time.sleep(0.05)
print("gave up" if not registry.all() else "kept", flush=True)
sys.stdin.read()
service.close(drain_seconds=0)
"""


def undisturbed(service: Service, name: str, *, num_frames: int) -> None:
    """Check that a stream remembers what one that nobody disturbed would, bit for bit."""
    service.open_stream("undisturbed", **FEW)
    push(service, "undisturbed", random_frames(num_frames))
    service.ask("undisturbed", "what came first?", max_new_tokens=2).wait()
    changes, wanted = keys_of(service, "undisturbed")
    found = keys_of(service, name)
    assert found[0] == changes
    assert all(found[1][key].equal(tensor) for key, tensor in wanted.items())
    service.close_stream("undisturbed", delete=True)


@pytest.mark.long
def test_two_owners_at_once_are_impossible(join, checkpoint_folder):
    """A process is frozen with its streams, another takes them, and the first comes back."""
    second = join("two")
    command = [
        sys.executable,
        "-c",
        _FROZEN,
        checkpoint_folder,
        second.folder,
        second.address,
        str(LEASE_SECONDS),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            os.kill(child.pid, signal.SIGSTOP)
            until(lambda: names(second) == ["a"], seconds=15)
            status = second.stream("a")
            assert (status.replica, status.epoch, status.restored_until_seconds) == ("two", 2, 10.0)
            undisturbed(second, "a", num_frames=11)
            push(second, "a", random_frames(20)[11:])
            os.kill(child.pid, signal.SIGCONT)
            assert child.stdout.readline() in REFUSALS
            assert child.stdout.readline() in REFUSALS
            assert child.stdout.readline().split()[:2] == ["gave", "up"]
            assert second.ask("a", QUESTION, max_new_tokens=2).text
            assert second.stream("a").num_frames == 20
            late = [one for one in second.events(stream="a") if one.payload.get("text") == "late"]
            assert late == [], "the record refuses what an older epoch writes"
        finally:
            child.kill()


@pytest.mark.parametrize("what", ["record", "engine"])
def test_a_replica_without_the_record_or_that_hangs_gives_up_its_streams(join, what):
    first, second = join("one"), join("two")
    first.open_stream("a", **FEW)
    push(first, "a", random_frames(5))
    membership = first._running._membership

    def fail(_):
        raise StoreError("the record cannot be reached")

    if what == "record":
        membership._rows.beat = fail
    else:
        membership._tenancy.is_sound = lambda: False
    until(lambda: names(second) == ["a"], seconds=15)
    with pytest.raises(HermesError):
        first.ask("a", QUESTION)
    until(lambda: names(first) == [])
    if what == "record":
        del membership._rows.beat
    else:
        del membership._tenancy.is_sound
    until(lambda: membership.is_current)
    first.open_stream("b", **FEW)
    assert first.stream("b").replica == "one"
    assert second.ask("a", QUESTION, max_new_tokens=2).text


def test_an_owner_opens_its_streams_again_when_the_record_is_back(join):
    only = join("one")
    only.open_stream("a", **FEW)
    push(only, "a", random_frames(5))
    commit_journals(only)
    membership = only._running._membership

    def fail(_):
        raise StoreError("the record cannot be reached")

    membership._rows.beat = fail
    until(lambda: names(only) == [])
    with pytest.raises(HermesError, match="try again"):
        only.ask("a", QUESTION)
    del membership._rows.beat
    until(lambda: names(only) == ["a"])
    until(lambda: only.stream("a").epoch == 2)
    assert only.stream("a").num_frames == 5
    assert only.ask("a", QUESTION, max_new_tokens=2).text
