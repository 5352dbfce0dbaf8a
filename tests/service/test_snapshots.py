"""A folder of snapshots: what is newest, what stays, what serves when one is damaged."""

from __future__ import annotations

import pytest
from tests.checkpoints import random_frames
from tests.lives import is_same, streams

from hermes_stream import Session, SnapshotError
from hermes_stream.service.snapshots import Snapshots
from hermes_stream.stream.engine import Engine


@pytest.fixture
def session(model) -> Session:
    session = Session(model, "window", budget_tokens=45, chunk_frames=4)
    session.observe(random_frames(6))
    return session


def test_the_newest_epoch_and_frame_is_restored(model, session, tmp_path):
    snapshots = Snapshots(tmp_path / "door")
    assert snapshots.newest() is None
    assert snapshots.list() == ()
    early = session.snapshot()
    session.observe(random_frames(5, start=6))
    for snapshot, epoch in ((session.snapshot(), 1), (early, 2), (session.snapshot(), 0)):
        snapshots.write(snapshot, epoch=epoch)
    assert [(one.epoch, one.num_frames) for one in snapshots.list()] == [(0, 11), (1, 11), (2, 6)]
    assert all(one.num_bytes == one.path.stat().st_size for one in snapshots.list())
    restored = snapshots.restore_newest(lambda path: Session.restore(model, path))
    assert restored.stats.num_frames == 6


def test_one_that_is_damaged_is_left_out(model, session, tmp_path, caplog):
    snapshots = Snapshots(tmp_path)
    snapshots.write(session.snapshot(), epoch=0)
    before = session.fork()
    session.observe(random_frames(5, start=6))
    path = snapshots.write(session.snapshot(), epoch=0)
    content = path.read_bytes()
    path.write_bytes(content[:-7] + b"\x00\x01\x02\x03\x04\x05\x06")
    handle = snapshots.restore_newest(Engine(model).restore)
    assert is_same(handle.stream, *streams(before))
    assert "is left out" in caplog.text
    for stored in snapshots.list():
        stored.path.write_bytes(b"nothing")
    with pytest.raises(SnapshotError, match=path.name):
        snapshots.restore_newest(Engine(model).restore)


def test_the_newest_stay(session, tmp_path):
    snapshots = Snapshots(tmp_path)
    written = [snapshots.write(session.snapshot(), epoch=epoch) for epoch in range(4)]
    assert snapshots.keep(2) == tuple(written[:2])
    assert [one.path for one in snapshots.list()] == written[2:]
    with pytest.raises(ValueError, match="at least 1"):
        snapshots.keep(0)
    with pytest.raises(ValueError, match="at least 0"):
        snapshots.write(session.snapshot(), epoch=-1)


def test_only_snapshots_of_the_folder_are_deleted(session, tmp_path):
    snapshots = Snapshots(tmp_path / "door")
    other = tmp_path / "000000-000000000006.safetensors"
    other.write_bytes(b"")
    for path in (other, tmp_path / "door" / "notes.txt"):
        with pytest.raises(ValueError, match="is no snapshot"):
            snapshots.delete(path)
    assert other.exists()


def test_halves_of_an_interrupted_program_are_deleted(session, tmp_path):
    Snapshots(tmp_path).write(session.snapshot(), epoch=0)
    half = tmp_path / ".000000-000000000009.safetensors.0badcafe.part"
    half.write_bytes(b"half")
    assert len(Snapshots(tmp_path).list()) == 1
    assert not half.exists()


def test_an_empty_folder_says_so(tmp_path, model):
    with pytest.raises(SnapshotError, match="there is no snapshot in"):
        Snapshots(tmp_path).restore_newest(lambda path: Session.restore(model, path))


def test_what_somebody_asked_for_is_replaced_by_no_later_memory(session, tmp_path):
    snapshots, kept = Snapshots(tmp_path), []
    for question in ("what is there?", "and now?"):
        session.ask(question, max_new_tokens=1).finish()
        kept.append(snapshots.write(session.snapshot(), epoch=0, is_kept=True))
    automatic = snapshots.write(session.snapshot(), epoch=0)
    assert {one.path for one in snapshots.list()} == {*kept, automatic}
    assert len(snapshots.list()) == 3
