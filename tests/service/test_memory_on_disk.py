"""One stream's memory on disk: its snapshots and its journal go together."""

from __future__ import annotations

import pytest
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, push
from tests.waiting import until

from hermes_stream.errors import SnapshotError
from hermes_stream.service.journal import Committer, Journal
from hermes_stream.service.memory_on_disk import MemoryOnDisk
from hermes_stream.service.snapshots import Snapshots
from hermes_stream.stream import Engine


def disk_of(tmp_path, committer) -> MemoryOnDisk:
    return MemoryOnDisk(tmp_path / "snapshots", tmp_path / "journal", committer)


@pytest.fixture
def recorded(model, tmp_path):
    """A stream five frames in, its memory on disk, and what restores it from there."""
    engine = Engine(model)
    with Committer(every_seconds=1000) as committer:  # nothing is committed by itself
        disk, handle = disk_of(tmp_path, committer), engine.add("hermes", budget_tokens=40, chunk_frames=4)
        disk.begin(handle, epoch=1)
        handle.observe(random_frames(5))
        yield handle, disk, lambda: disk_of(tmp_path, committer).restore(engine)
    disk.close()


def test_no_snapshot_is_ahead_of_the_journal(recorded, tmp_path):
    handle, disk, _ = recorded
    snapshot = handle.snapshot()
    disk.write(snapshot, epoch=1)
    # as a program that is killed here finds it: nothing else was committed
    assert Journal(tmp_path / "journal").num_changes == snapshot.num_changes == handle.num_changes > 0


def test_a_damaged_snapshot_costs_nothing(recorded, tmp_path):
    handle, disk, restore = recorded
    disk.write(handle.snapshot(), epoch=1)
    newest = Snapshots(tmp_path / "snapshots").newest()
    newest.write_bytes(newest.read_bytes()[:-1])
    assert restore().num_changes == handle.num_changes


def test_what_somebody_asked_for_and_deleted_was_not_needed(recorded):
    handle, disk, restore = recorded
    disk.write(handle.snapshot(), epoch=1)
    own = disk.write(handle.snapshot(), epoch=1, is_kept=True)  # of the same frame, and a file of its own
    handle.observe(random_frames(5, start=5.0))
    later = disk.write(handle.snapshot(), epoch=1, is_kept=True)
    own.path.unlink()
    later.path.unlink()
    assert restore().num_changes == handle.num_changes


def test_the_snapshot_that_a_restart_needs_is_not_deleted(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(7))
    service._running._upkeep.save_all()
    asked_for, newest = service.snapshot("door"), service.snapshots("door")[-1]
    assert asked_for.id == newest.id
    automatic = [one.id for one in service.snapshots("door") if not one.is_kept]
    with pytest.raises(SnapshotError, match="comes back from after a restart"):
        service.delete_snapshot("door", automatic[-1])
    service.delete_snapshot("door", asked_for.id)
    assert [one.id for one in service.snapshots("door")] == automatic


def test_a_restored_stream_says_until_when_its_memory_is_folded(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(7))
    before = service.stream("door")
    assert (before.folded_until_seconds, before.newest_pts_seconds) == (3.0, 6.0)
    service.close()
    service = serve()
    after = service.stream("door")
    assert (after.folded_until_seconds, after.restored_until_seconds) == (3.0, 6.0)
    until(lambda: len(service.events(kinds=["service_started"])) == 2)  # events are recorded soon
    (*_, started) = service.events(kinds=["service_started"])
    assert started.payload["num_streams"] == 1
    assert 0 < started.payload["recovery_seconds"] < 60
