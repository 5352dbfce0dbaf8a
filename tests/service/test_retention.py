"""Retention: by age, then by size; the oldest first, what answers show last, what a stream needs never."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, QUESTION, kinds, push

from hermes_stream.service.events import NewEvent
from hermes_stream.service.pictures import StreamPictures
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
