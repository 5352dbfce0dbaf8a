"""Journals beyond this machine: in pieces, bounded, of an epoch each."""

from __future__ import annotations

import time
from contextlib import contextmanager

import fsspec
import pytest
from tests.service.test_remote_snapshots import address, s3_url  # noqa: F401 - fixtures
from tests.waiting import until

from hermes_stream.service.remote_journals import RemoteJournals
from hermes_stream.service.segments import Segments


@pytest.fixture
def remote(address):  # noqa: F811
    found = RemoteJournals(address, every_seconds=0.05)
    yield found
    found.close()


@contextmanager
def in_memory(tmp_path, **options):
    """Journals of a store of this program's own; what a test does to ``_put`` is undone in time to close."""
    url = f"memory://{tmp_path.name}"
    found = RemoteJournals(url, **options)
    put = found._put
    try:
        yield found
    finally:
        found._put = put
        found.close()
        files, root = fsspec.core.url_to_fs(url)
        files.rm(root, recursive=True)


def records(first: int, count: int) -> list[bytes]:
    return [str(k).encode() for k in range(first, first + count)]


def append(remote, first: int, count: int, *, epoch: int = 1) -> None:
    remote.append("door", epoch, first, records(first, count))
    assert remote.flush(20)


def fetched(folder, epoch: int = 1) -> list[int]:
    return [number for number, _ in Segments(folder / "door" / f"{epoch:06d}").read()]


def test_pieces_are_one_journal_again(remote, tmp_path):
    append(remote, 1, 3), append(remote, 4, 2), append(remote, 6, 1)
    append(remote, 9, 1, epoch=2)
    assert remote.fetch(tmp_path / "door", 1)
    assert fetched(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert not remote.fetch(tmp_path / "door", 1), "it is here already"
    assert not remote.fetch(tmp_path / "door", 7)
    assert not (tmp_path / "door" / "000007").exists()
    assert remote.fetch(tmp_path / "door", 2)
    assert fetched(tmp_path, 2) == [9]


def test_what_a_snapshot_holds_is_forgotten_and_so_are_epochs_without_one(remote, tmp_path):
    append(remote, 1, 3), append(remote, 4, 3), append(remote, 7, 1)
    append(remote, 1, 2, epoch=2), append(remote, 1, 1, epoch=3)
    remote.forget("door", 3, 0, {2, 3})
    assert remote._epochs("door") == [2, 3]
    append(remote, 1, 3, epoch=4), append(remote, 4, 3, epoch=4), append(remote, 7, 1, epoch=4)
    remote.forget("door", 4, 5, {4})
    assert remote._epochs("door") == [4]
    assert remote.fetch(tmp_path / "door", 4)
    assert fetched(tmp_path, 4) == [4, 5, 6, 7], "number 6 is still needed"
    remote.delete("door")
    assert remote._epochs("door") == []


def test_what_cannot_be_sent_waits_and_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.remote_journals._TRY_AGAIN_SECONDS", 0.05)
    with in_memory(tmp_path, every_seconds=0.05, queue_bytes=20) as remote:
        put = remote._put
        remote._put = lambda *_: (_ for _ in ()).throw(OSError("no network"))
        remote.append("door", 1, 1, records(1, 3))
        until(lambda: remote.failure is not None)
        assert "no network" in remote.failure
        remote._put = put
        assert remote.flush(20)
        assert remote.failure is None
        remote._put = lambda *_: (_ for _ in ()).throw(OSError("no network"))
        for k in range(4, 34):
            remote.append("door", 1, k, records(k, 1))
        assert remote.num_forgotten > 0
        assert remote._waiting["door", 1].num_bytes <= 20
        remote._put = put
        assert remote.flush(20)
        assert remote.fetch(tmp_path / "door", 1)
        # behind the hole nothing is taken for what came before it
        assert fetched(tmp_path)[:3] == [1, 2, 3]
        assert fetched(tmp_path)[-1] == 33


def test_one_stream_is_sent_while_others_go_on(tmp_path):
    with in_memory(tmp_path, every_seconds=0.05) as remote:
        put = remote._put
        remote._put = lambda place, *rest: put(place, *rest) if place[0] == "door" else time.sleep(0.2)
        for k in range(1, 6):
            remote.append("desk", 1, k, records(k, 1))
        remote.append("door", 1, 1, records(1, 2))
        assert remote.flush(20, "door")
        assert remote._pieces("door", 1)


def test_pieces_are_no_more_than_the_pace_says(tmp_path):
    with in_memory(tmp_path, every_seconds=0.5) as remote:
        began = time.monotonic()
        for k in range(1, 41):
            remote.append("door", 1, k, records(k, 1))
            time.sleep(0.02)
        assert remote.flush(20)
        assert len(remote._pieces("door", 1)) <= (time.monotonic() - began) / 0.5 + 2


def test_a_stream_is_deleted_though_its_store_is_away(tmp_path, monkeypatch, caplog):
    with in_memory(tmp_path, every_seconds=0.05) as remote:
        append(remote, 1, 1)
        monkeypatch.setattr(remote, "_names", lambda _: 1 / 0)
        remote.delete("door")
        assert "stay at memory://" in caplog.text
