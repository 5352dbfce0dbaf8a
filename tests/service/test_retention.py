"""Retention: by age, then by size; the oldest first, what answers show last, what a stream needs never."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from tests.checkpoints import random_frames
from tests.service.test_looking_back import clear_alert, raise_alert
from tests.service.test_service import FEW, QUESTION, kinds, push

from hermes_stream.errors import SnapshotError
from hermes_stream.service.events import NewEvent
from hermes_stream.service.memory_on_disk import SavedMemory
from hermes_stream.service.pictures import StreamPictures
from hermes_stream.service.question_log import AskedQuestion
from hermes_stream.service.retention import Retention
from hermes_stream.service.saving import Saving
from hermes_stream.service.service_folder import ServiceFolder
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.store import Store
from hermes_stream.video.jpeg import decode_jpeg

_DAY = 86_400.0


def test_what_is_older_than_its_days_goes(serve):
    service = serve(keep_days=10.0, keep_bytes=None)
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(3))
    served = service._running.registry.find("door")
    now = time.time()
    for age in (30, 12, 9, 0):
        service._running.store.tell(
            NewEvent(kind="gap", stream_id=served.row.id, wall_seconds=now - age * _DAY, payload={"age": age})
        )
        served.pictures.put(random_frames(1, start=1000.0 + age)[0], now - age * _DAY)
    service._running._upkeep.keep_bounds()
    assert [event.payload["age"] for event in service.events(kinds=["gap"])] == [9, 0]
    left = sorted(float(path.stem) for path in (service.data_dir / "pictures").rglob("*.jpg"))
    assert left == [0.0, 1.0, 2.0, 1000.0, 1009.0]
    assert served.pictures.find(1030.0) is None
    assert kinds(service).count("retention") == 1
    service._running._upkeep.keep_bounds()
    assert kinds(service).count("retention") == 1


def test_what_is_too_much_goes_oldest_first(serve):
    service = serve(keep_days=None, keep_bytes=10**9, keep_snapshots=2)
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(3))
    answer = service.ask("door", QUESTION, max_new_tokens=2)
    assert answer.wait(10)
    cited = {one.picture for one in answer.evidence}
    kept = [service.snapshot("door").id]
    push(service, "door", random_frames(3, start=3.0))
    service._running._upkeep.save_all()
    pictures = service._running.registry.find("door").pictures
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    now = time.time()
    for number in range(40):
        frame = replace(random_frames(1, start=5000.0 + number)[0], image=noise)
        pictures.put(frame, now - (number + 1) * _DAY)
    retention = service._running._upkeep._retention
    before = retention.num_bytes
    retention._settings = service.settings.model_copy(update={"keep_bytes": before - 200_000})
    service._running._upkeep.keep_bounds()
    assert retention.num_bytes < before - 200_000
    days = sorted(path.parent.name for path in (service.data_dir / "pictures").rglob("*.jpg"))
    assert len(days) < 46
    assert pictures.find(5000.0) is not None  # the youngest stay
    assert pictures.find(5039.0) is None
    # nothing but what streams need to go on
    retention._settings = service.settings.model_copy(update={"keep_bytes": 1})
    service._running._upkeep.keep_bounds()
    assert not list((service.data_dir / "pictures").rglob("*.jpg"))
    assert len(service.snapshots("door")) == 1
    assert kept
    assert cited
    assert service.ask("door", QUESTION, max_new_tokens=2).text is not None


def test_a_record_in_postgres_loses_what_is_too_much_and_not_all(serve, postgres):
    service = serve(keep_days=None, keep_bytes=10**9, store=postgres())
    service.open_stream("door", **FEW)
    store, row, now = service._running.store, service._running.registry.row("door"), time.time()
    for age in range(6000, 0, -1):
        told = NewEvent(kind="gap", stream_id=row.id, wall_seconds=now - age, payload={"text": "words " * 40})
        store.tell(told)
    store.writer.write(lambda _: None)
    retention = service._running._upkeep._retention
    before = retention.num_bytes
    retention._settings = service.settings.model_copy(update={"keep_bytes": int(0.98 * before)})
    service._running._upkeep.keep_bounds()
    left = [one for one in service.events(limit=10_000) if one.kind == "gap"]
    assert retention.num_bytes <= 0.98 * before
    assert 2000 < len(left) < 6000
    assert left[-1].wall_seconds > now - 1.5  # the youngest stay
    service._running._upkeep.keep_bounds()
    assert len([one for one in service.events(limit=10_000) if one.kind == "gap"]) == len(left)


def test_the_snapshot_that_a_restart_needs_outlasts_one_that_somebody_asked_for(serve):
    service = serve(keep_days=None, keep_bytes=10**9)
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(3))
    service._running._upkeep.save_all()
    asked_for = service.snapshot("door").id
    retention = service._running._upkeep._retention
    retention._settings = service.settings.model_copy(update={"keep_bytes": 1})
    service._running._upkeep.keep_bounds()
    assert [one.is_kept for one in service.snapshots("door")] == [False]
    assert asked_for not in [one.id for one in service.snapshots("door")]


def test_pictures_are_small_and_found_by_about_their_time(tmp_path):
    pictures = StreamPictures(tmp_path, "0001-door", 10_000)
    wide = np.zeros((200, 400, 3), np.uint8)
    wide[:, :200] = (250, 10, 10)
    pictures.put(replace(random_frames(1, start=12.5)[0], image=wide), 86_400.0)
    path = pictures.find(12.5 + 1e-4)
    assert path == "0001-door/1970-01-02/12.500000.jpg"
    image = decode_jpeg((tmp_path / path).read_bytes())
    assert image.shape[0] * image.shape[1] <= 10_100
    assert abs(image.shape[1] - 2 * image.shape[0]) <= 1
    assert np.abs(image[10, 10].astype(int) - (250, 10, 10)).max() < 12
    assert pictures.find(12.6) is None
    again = StreamPictures(tmp_path, "0001-door", 10_000)
    assert again.find(12.5) == path
    copy = StreamPictures(tmp_path, "0002-side", 10_000)
    copy.copy_from(again)
    assert again.keep_only([], [], until_seconds=12.0) == 0
    assert again.keep_only([], [path], until_seconds=13.0) == 0
    assert again.keep_only([], [], until_seconds=13.0) == 1
    assert len(again) == 0
    assert copy.find(12.5) == "0002-side/1970-01-02/12.500000.jpg"
    copy.delete_all()
    assert not list(tmp_path.rglob("*.jpg"))
    copy.put(random_frames(1, start=13.0)[0], 86_400.0)  # that was on its way
    assert not list(tmp_path.rglob("*.jpg"))
    assert len(copy) == 0


ASKED = AskedQuestion(
    stream_id=0,
    epoch=1,
    answer_id="a",
    asked_wall_seconds=0.0,
    pts_seconds=None,
    question="is it?",
    options=(),
    remembered=False,
    answer="yes",
    option_index=None,
    finish_reason="stop",
    failure=None,
    num_tokens=1,
    ttft_seconds=None,
    ttft_with_pending_seconds=None,
    confidence=None,
    evidence=(),
)


class Kept:
    """A folder and its record, without a service that runs over them."""

    def __init__(self, path) -> None:
        self.folder, self.store = ServiceFolder(path), Store(path)
        self.row = self.store.streams.add("door", options={}, owner=None, wall_seconds=1.0)
        self.now = time.time()

    def picture(self, days: int, name: str = "1.000000", num_bytes: int = 10_000) -> str:
        day = datetime.fromtimestamp(self.now - days * _DAY, UTC).date().isoformat()
        path = self.folder.pictures / "0001-door" / day / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(num_bytes))
        return path.relative_to(self.folder.pictures).as_posix()

    def pictures(self) -> set[str]:
        root = self.folder.pictures
        return {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}

    def snapshot(self, frame: int, *, is_kept: bool = False, num_bytes: int = 50_000) -> str:
        path = self.folder.snapshots / f"{frame}.safetensors"
        path.write_bytes(bytes(num_bytes))
        fields = {"epoch": 1, "path": f"snapshots/{path.name}", "pts_seconds": None, "num_frames": frame}
        more = {"num_bytes": num_bytes, "created_wall_seconds": self.now, "is_kept": is_kept}
        self.store.snapshots.add(self.row.id, **fields, **more)
        return path.name

    def snapshots(self) -> list[str]:
        names = sorted(path.name for path in self.folder.snapshots.iterdir())
        assert sorted(one.path.removeprefix("snapshots/") for one in self.store.snapshots.read()) == names
        return names

    def tell(self, days: float, *, payload: int = 0, picture: str | None = None) -> None:
        wall_seconds = self.now - days * _DAY
        told = {"text": "x" * payload}
        new = NewEvent(kind="gap", stream_id=self.row.id, wall_seconds=wall_seconds, payload=told)
        self.store.tell(replace(new, picture=picture))

    def retention(self, *, is_due=None, **settings) -> Retention:
        self.store.writer.write(lambda _: None)
        own = ServiceSettings(**{"keep_days": None, "keep_bytes": None, **settings})
        return Retention(self.folder, self.store, own, is_due)

    def sweep(self, **settings) -> None:
        self.retention(**settings).sweep(())
        self.store.writer.write(lambda _: None)

    def shrink_by(self, num_bytes: int) -> None:
        """Sweep where this much is too much."""
        self.sweep(keep_bytes=self.retention().num_bytes - num_bytes)


@pytest.fixture
def exactly(monkeypatch):
    """What is too much goes, and no more than that."""
    monkeypatch.setattr("hermes_stream.service.retention._DOWN_TO", 1.0)


@pytest.fixture
def kept(tmp_path):
    one = Kept(tmp_path)
    yield one
    one.store.close()
    one.folder.close()


def test_one_of_several_services_on_a_record_deletes(kept):
    kept.tell(20)
    kept.sweep(keep_days=10.0, is_due=lambda: False)
    assert [one.kind for one in kept.store.events.read()] == ["gap"]
    kept.sweep(keep_days=10.0, is_due=lambda: True)
    assert [one.kind for one in kept.store.events.read()] == ["retention"]


def test_a_day_that_has_not_ended_by_then_is_kept_whole(kept):
    kept.picture(11)
    of_the_day = kept.picture(10)
    kept.sweep(keep_days=10.0)
    assert kept.pictures() == {of_the_day}
    assert len(list(kept.folder.pictures.glob("*/*"))) == 1, "an empty folder goes, too"


def test_questions_and_incidents_that_have_ended_go_by_age(kept):
    for age in (20, 5):
        when = kept.now - age * _DAY
        asked = replace(ASKED, stream_id=kept.row.id, answer_id=f"{age}", asked_wall_seconds=when)
        kept.store.questions.add(asked)
    old = {"started_wall_seconds": kept.now - 30 * _DAY}
    raise_alert(kept.store, kept.row, 1.0, "7-1", **old)
    raise_alert(kept.store, kept.row, 2.0, "7-2", **old)
    clear_alert(kept.store, kept.row, 3.0, "7-1")
    kept.sweep(keep_days=10.0)
    assert [one.asked.answer_id for one in kept.store.questions.read()] == ["5"]
    assert [one.id for one in kept.store.incidents.read()] == ["7-2"], "it is still open"


def test_pictures_that_something_shows_go_last(kept, exactly):
    shown = [kept.picture(9, f"{k}.000000") for k in range(3)]
    evidence = ({"seconds": 0.0, "picture": shown[0]},)
    kept.store.questions.add(replace(ASKED, stream_id=kept.row.id, evidence=evidence))
    pictures = [{"stream_seconds": 1.0, "picture": shown[1]}]
    raise_alert(kept.store, kept.row, 1.0, "7-1", pictures=pictures)
    kept.tell(9, picture=shown[2])
    for k in range(3, 6):
        kept.picture(9, f"{k}.000000")
    young = kept.picture(1)
    kept.shrink_by(25_000)
    assert kept.pictures() == {*shown, young}
    kept.shrink_by(10_000)
    assert kept.pictures() == set(shown), "what nothing shows goes first, however young"
    kept.shrink_by(10_000)
    assert kept.pictures() == set()


def test_snapshots_that_somebody_asked_for_go_behind_the_others(kept, exactly):
    first = kept.snapshot(1, is_kept=True)
    for frame in (2, 3, 4):
        kept.snapshot(frame)
    kept.shrink_by(60_000)
    assert kept.snapshots() == [first, "4.safetensors"]
    kept.shrink_by(10_000)
    assert kept.snapshots() == ["4.safetensors"]
    kept.shrink_by(10_000)
    assert kept.snapshots() == ["4.safetensors"], "the newest is what a stream goes on from"


def test_rows_go_by_the_tenth_until_what_is_left_fits(kept, exactly, monkeypatch):
    for k in range(400):
        kept.tell(100 - k / 10, payload=2000)
    before = kept.retention().num_bytes
    given_back = []
    monkeypatch.setattr(kept.store.database, "give_back_space", lambda: given_back.append(True))
    kept.shrink_by(before // 3)
    left = kept.store.events.read(limit=1000)
    assert left[-1].kind == "retention"
    assert 100 < len(left) < 300
    assert given_back == [True]


def test_all_that_lies_in_the_folder_counts(kept):
    before = kept.retention().num_bytes
    kept.picture(1, num_bytes=1000)
    kept.snapshot(1, num_bytes=20_000)
    (kept.folder.journals / "1.journal").write_bytes(bytes(300_000))
    assert kept.retention().num_bytes - before >= 321_000


def test_nothing_goes_before_it_is_too_much_and_then_some_more_than_that(kept):
    for k in range(20):
        kept.picture(k + 1)
    most = kept.retention().num_bytes
    kept.sweep(keep_bytes=most)
    assert len(kept.pictures()) == 20
    kept.sweep(keep_bytes=most - 1)
    assert kept.retention().num_bytes < 0.91 * most
    assert kept.pictures()


class Saved:
    """A stream that has a memory, and what saves it beside a folder."""

    def __init__(self, kept: Kept, keep_snapshots: int = 2) -> None:
        self.kept, self.told, self.written, self.has_changed = kept, [], [], True
        disk = SimpleNamespace(has_changed=lambda _: self.has_changed, write=self.write)
        live = SimpleNamespace(handle=SimpleNamespace(snapshot=lambda: "snapshot"))
        tell = lambda kind, **more: self.told.append(kind)  # noqa: E731
        self.served = SimpleNamespace(row=kept.row, live=live, disk=disk, tell=tell)
        thread = SimpleNamespace(run=lambda work: work(None))
        self.saving = Saving(kept.folder.path, kept.store, thread, keep_snapshots=keep_snapshots)

    def write(self, snapshot: str, *, epoch: int, is_kept: bool) -> SavedMemory:
        path = self.kept.folder.snapshots / f"{len(self.written)}.safetensors"
        path.write_bytes(snapshot.encode())
        self.written.append((path.name, is_kept))
        return SavedMemory(path=path, epoch=epoch, num_frames=1, newest_seconds=None, num_bytes=8)


def test_a_memory_is_saved_where_it_has_changed_or_somebody_asks(kept):
    one = Saved(kept)
    assert not one.saving.save(one.served).is_kept
    one.has_changed = False
    assert one.saving.save(one.served) is None
    assert one.saving.save(one.served, always=True).is_kept
    assert one.written == [("0.safetensors", False), ("1.safetensors", True)]
    assert one.told == ["snapshot_saved"] * 2


def test_of_those_that_nobody_asked_for_the_newest_stay(kept):
    one = Saved(kept)
    asked = one.saving.save(one.served, always=True)
    for _ in range(2):
        one.saving.save(one.served)
    assert kept.snapshots() == ["0.safetensors", "1.safetensors", "2.safetensors"]
    one.saving.save(one.served)
    assert kept.snapshots() == ["0.safetensors", "2.safetensors", "3.safetensors"]
    one.saving.path_of(asked).unlink()  # somebody else did
    one.saving.save(one.served)
    assert kept.snapshots() == ["3.safetensors", "4.safetensors"]


def test_the_snapshot_that_a_stream_comes_back_from_is_not_deleted(kept):
    one = Saved(kept)
    first, second = (one.saving.save(one.served) for _ in range(2))
    asked = one.saving.save(one.served, always=True)
    assert one.saving.find(kept.row.id, None) == asked
    assert one.saving.find(kept.row.id, first.id) == first
    with pytest.raises(SnapshotError, match="comes back from after a restart"):
        one.saving.delete(kept.row.id, second.id)
    for gone in (first, asked):
        one.saving.delete(kept.row.id, gone.id)
    assert kept.snapshots() == ["1.safetensors"]
