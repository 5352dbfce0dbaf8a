"""What happened, told from the record: reports and clips."""

from __future__ import annotations

import os
from itertools import islice

import av
import numpy as np
import pytest
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, commit_journals, push
from tests.service.test_standing import push as push_and_look
from tests.waiting import until

from hermes_stream import write_video
from hermes_stream.digest.page import page_of
from hermes_stream.errors import StoreError, UnknownPictureError, UnknownStreamError
from hermes_stream.service import Service, change_records, incidents
from hermes_stream.service.clip import MAX_CLIP_SECONDS
from hermes_stream.service.events import NewEvent
from hermes_stream.service.incidents import incidents_during
from hermes_stream.service.record import Record
from hermes_stream.service.report import MAX_EVENTS, MAX_INCIDENTS
from hermes_stream.service.store import Store
from hermes_stream.service.stream_rows import read_stream_rows
from hermes_stream.synthetic.world import Pace, generate_world
from hermes_stream.video.sources.options import SourceOptions


def tell(store, row, kind, at, along=None, **payload):
    store.tell(
        NewEvent(
            kind=kind,
            stream_id=row.id,
            epoch=1,
            pts_seconds=at,
            wall_seconds=1000.0 + at,
            payload=payload,
            picture=payload.pop("picture", None),
            along=along,
        )
    )


def raise_alert(store, row, at, number, **fields):
    """Tell of an alert as a watch does: the event and its incident in one commit."""
    values = {
        "watch_id": 7,
        "name": "person",
        "question": "is it?",
        "severity": "info",
        "started_seconds": at,
        "started_wall_seconds": 1000.0 + at,
        "score": 0.9,
        "pictures": [],
        "evidence": [],
        **fields,
    }
    tell(
        store,
        row,
        "alert_raised",
        at,
        lambda connection: incidents.begin(connection, number, {"stream_id": row.id, **values}),
        name=values["name"],
        watch=values["watch_id"],
        incident=number,
    )


def clear_alert(store, row, at, number):
    end = {"status": "ended", "ended_seconds": at, "ended_wall_seconds": 1000.0 + at}
    tell(
        store, row, "alert_cleared", at, lambda connection: incidents.change(connection, number, end), watch=7
    )


def change_state(store, row, at, watch, value):
    tell(store, row, "state_changed", at, watch=watch.id, name=watch.name, value=value, since_seconds=at - 1)


@pytest.fixture
def told(store, tmp_path):
    row = store.streams.add("door", options=OPTIONS, owner=None, wall_seconds=1.0)
    store.streams.change(row.id, zero_wall_seconds=1000.0)
    tell(store, row, "described", 5.0, value="a dog", score=0.4)
    raise_alert(store, row, 20.0, "7-1", severity="alarm")
    clear_alert(store, row, 26.0, "7-1")
    raise_alert(store, row, 40.0, "7-2", severity="<b>")
    tell(store, row, "answered", 45.0, question="what?", answer="a cat", confidence=0.7)
    tell(store, row, "gap", 60.0, seconds=3.0)
    store.writer.write(lambda _: None)
    return Record(store.database, tmp_path), store, row


OPTIONS = {
    "policy": "hermes",
    "budget_tokens": None,
    "filter": None,
    "fps": 1.0,
    "chunk_frames": 4,
    "text_tokens": None,
    "kv_bits": None,
    "still_below": None,
}


def test_a_report_has_chapters_incidents_answers_and_counts(told):
    record, _, _ = told
    (digest,) = record.report(["door"])
    assert [(one.start_seconds, one.end_seconds) for one in digest.chapters] == [(5, 20), (20, 40), (40, 60)]
    assert [one.text for one in digest.chapters] == ["a dog", "person", "person"]
    assert [(one.started_seconds, one.ended_seconds) for one in digest.incidents] == [(20, 26), (40, None)]
    assert [one.severity for one in digest.incidents] == ["alarm", "info"]
    assert [(one.question, one.answer, one.confidence) for one in digest.answers] == [("what?", "a cat", 0.7)]
    assert digest.counts["alert_raised"] == 2
    assert digest.policy == "hermes"
    assert not digest.is_cut
    assert "a dog" in page_of([digest], title="t", read_picture=record.picture)


def test_a_report_is_of_a_time_and_of_streams_that_there_are(told):
    record, store, row = told
    (digest,) = record.report(since=1015.0, until=1030.0)
    assert digest.counts == {"alert_raised": 1, "alert_cleared": 1}
    (empty,) = record.report(since=5000.0)
    assert (empty.chapters, empty.summary, empty.counts) == ((), None, {})
    with pytest.raises(UnknownStreamError, match="it has door"):
        record.report(["yard"])
    with pytest.raises(ValueError, match="later"):
        record.report(since=2.0, until=1.0)
    with pytest.raises(ValueError, match="min_chapter_seconds must be above 0, got 0"):
        record.report(min_chapter_seconds=0)
    with pytest.raises(ValueError, match="max_chapters must be at least 1, got 0"):
        record.report(max_chapters=0)
    store.streams.remove(row.id)
    assert record.report() == ()


SHOWN = [{"stream_seconds": at, "picture": f"door/2026-11-26/{at:.6f}.jpg"} for at in (18.0, 20.0, 22.0)]
SEEN = {"pictures": SHOWN, "summary": "a person at the door", "num_updates": 1}


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (1022.0, 1030.0, [(20, 26)]),  # open before, closed inside
        (1050.0, 1070.0, [(40, None)]),  # open before, and still
        (1015.0, 1023.0, [(20, 26)]),  # ends after
        (1022.0, 1024.0, [(20, 26)]),  # nothing is told meanwhile
        (1027.0, 1039.0, []),
        (5000.0, None, [(40, None)]),
    ],
)
def test_a_report_has_all_incidents_that_went_on_in_its_time(told, since, until, expected):
    record, _, _ = told
    (digest,) = record.report(since=since, until=until)
    assert [(one.started_seconds, one.ended_seconds) for one in digest.incidents] == expected


def test_a_report_has_what_was_seen_of_an_incident_before_and_after(told):
    record, store, _ = told
    store.writer.write(lambda connection: incidents.change(connection, "7-1", SEEN))
    (digest,) = record.report(since=1022.0, until=1030.0)
    (incident,) = digest.incidents
    assert incident.summary == "a person at the door"
    assert [one.stream_seconds for one in incident.pictures] == [18.0, 20.0, 22.0]
    assert incident.picture == incident.pictures[1]
    page = page_of([digest], title="t", read_picture=lambda picture: picture.path.encode())
    assert "a person at the door" in page
    assert page.count("<img ") == 3


def test_a_report_of_too_many_incidents_says_that_it_is_cut(told):
    record, store, row = told
    for number in range(MAX_INCIDENTS):
        raise_alert(store, row, 50.0, f"8-{number}")
    store.writer.write(lambda _: None)
    (digest,) = record.report()
    assert digest.is_cut
    assert len(digest.incidents) == MAX_INCIDENTS


def test_what_watches_told_are_the_tags_of_a_stream(told):
    record, store, row = told
    door = store.watches.add(row.id, "door", {})
    light = store.watches.add(row.id, "light", {})
    change_state(store, row, 10.0, light, "on")
    change_state(store, row, 30.0, door, "open")
    change_state(store, row, 50.0, door, "closed")
    tell(store, row, "state_changed", 55.0, watch=99, name="lamp", value="on", value_before="off")
    store.writer.write(lambda _: None)

    def tags(**span):
        (digest,) = record.report(**span)
        return {one.text: one.spans for one in digest.tags}

    assert tags() == {
        "person": ((20, 26), (40, 60)),
        "light: on": ((9, 60),),
        "door: open": ((29, 49),),
        "door: closed": ((49, 60),),
        "lamp: off": ((5, 55),),
        "lamp: on": ((55, 60),),
    }
    later = {"person": ((40, 60),), "light: on": ((9, 60),), "door: open": ((29, 49),)}
    lamp = {"lamp: off": ((45, 55),), "lamp: on": ((55, 60),)}
    assert tags(since=1045.0) == {**later, "door: closed": ((49, 60),), **lamp}
    assert tags(since=1032.0, until=1048.0) == {
        "person": ((40, 45),),
        "light: on": ((9, 45),),
        "door: open": ((29, 45),),
    }
    # nobody knows when a state of a watch that is gone ended
    store.watches.remove(light.id)
    store.watches.remove(door.id)
    assert tags(since=1056.0) == {"person": ((40, 60),)}
    assert tags(since=5000.0) == {"person": ((40, 40),)}


def test_the_tags_of_a_stream_are_what_was_shown(tmp_path):
    calm = Pace(stay_seconds=(6, 9), entry_seconds=(10, 14), quiet_share=0.0, quiet_seconds=(0, 0))
    world = generate_world(4, 23, pace=calm)
    first, second = (str(one.thing) for one in world.appearances[:2])
    shown = [(one.enters_seconds, one.leaves_seconds) for one in world.appearances]
    assert shown == [(1, 10), (12, 21), (22, 31)]
    with Service("tiny", tmp_path / "service") as service:
        service.open_stream("door", fps=1.0, chunk_frames=1)
        service.watches.add("door", f"is there a {first} now?", name=first, newest_seconds=8, pre_seconds=1)
        state = {"kind": "state", "options": [first, second, "nothing"], "newest_seconds": 8}
        service.watches.add("door", "what is on screen now?", name="screen", **state)
        push_and_look(service, "door", islice(world.frames(1.0), 22))
        service._running.store.writer.write(lambda _: None)
        until(lambda: service.events(kinds=["incident_updated"]))
        (digest,) = service.record.report(["door"])
    assert {one.text: one.spans for one in digest.tags} == {
        first: ((1.0, 10.0),),
        f"screen: {first}": ((1.0, 10.0),),
        f"screen: {second}": ((12.0, 21.0),),
        "screen: nothing": ((10.0, 12.0), (21.0, 21.0)),
    }
    (incident,) = digest.incidents
    assert incident.pictures[0].stream_seconds == 0.0


def test_a_report_of_too_much_says_that_it_is_cut(told):
    record, store, row = told
    for number in range(MAX_EVENTS):
        tell(store, row, "gap", 70.0 + number, seconds=1.0)
    store.writer.write(lambda _: None)
    (digest,) = record.report()
    assert digest.is_cut
    assert len(digest.events) == MAX_EVENTS


def test_a_folder_without_a_record_is_told(tmp_path):
    with pytest.raises(StoreError, match="no record"), Record.open(tmp_path / "nothing"):
        pass
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def nothing_to_be_written(monkeypatch):
    """Return what lets nothing be written any more, as a mount that is for reading does."""
    asked = os.access
    return lambda: monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and asked(path, mode))


@pytest.mark.parametrize("is_served", [False, True])
def test_a_record_is_read_where_nothing_may_be_written(tmp_path, nothing_to_be_written, is_served):
    store = Store(tmp_path)
    row = store.streams.add("door", options={}, owner=None, wall_seconds=1.0)
    tell(store, row, "described", 1.0, value="a red car")
    store.writer.write(lambda _: None)
    if not is_served:
        store.close()
    before = sorted(path.name for path in tmp_path.iterdir())
    nothing_to_be_written()
    with Record.open(tmp_path) as record:
        (found,) = record.search("red").results
        assert found.event.stream == "door"
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    if is_served:
        store.close()


def test_an_older_record_is_not_read_where_nothing_may_be_written(tmp_path, nothing_to_be_written):
    store = Store(tmp_path)
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0004'")
    store.close()
    nothing_to_be_written()
    with pytest.raises(StoreError, match=r"of another version.*copy its folder"), Record.open(tmp_path):
        pass


def frames_of(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name, [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Thirty seconds, each of a grey of its own."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    greys = (np.full((64, 64, 3), 4 + 8 * (k // 4), np.uint8) for k in range(120))
    write_video(path, greys, fps=4)
    return path


def watch(service, film, name="door", **options):
    service.open_stream(name, film, source_options=SourceOptions(pace="fast", **options), **FEW)
    until(lambda: service.stream(name).state == "ended")


def test_a_clip_of_a_file_is_a_copy_from_the_key_frame_before(serve, film, tmp_path):
    service = serve()
    watch(service, film)
    clip = service.record.clip("door", tmp_path / "clip.mp4", from_seconds=10.0, until_seconds=14.0)
    assert clip.made_from == "file"
    codec, frames = frames_of(clip.path)
    assert codec == "h264"
    assert clip.from_seconds <= 10.0 < 14.0 <= clip.until_seconds <= 16.0
    # the first picture shows the second that the clip says it begins with
    assert frames[0][1].mean() == pytest.approx(4 + 8 * int(clip.from_seconds), abs=3)
    assert frames[-1][0] + clip.from_seconds == pytest.approx(clip.until_seconds, abs=0.6)


def test_a_file_that_came_after_another_source_is_copied_by_its_own_clock(serve, film, tmp_path):
    service = serve()
    watch(service, film)
    (row,) = read_stream_rows(service._running.store.database)
    tell(service._running.store, row, "source_state", 500.0, what="opened")
    service._running.store.writer.write(lambda _: None)
    clip = service.record.clip("door", tmp_path / "clip.mp4", from_seconds=510.0, until_seconds=514.0)
    assert 500.0 <= clip.from_seconds <= 510.0 < 514.0 <= clip.until_seconds <= 516.0
    before = service.record.clip("door", tmp_path / "other.mp4", from_seconds=10.0, until_seconds=14.0)
    assert before.made_from in ("journal", "pictures")


def test_a_masked_file_is_never_copied(serve, film, tmp_path):
    service = serve()
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    watch(service, film, privacy_mask=(half,))
    service.snapshot("door")
    clip = service.record.clip("door", tmp_path / "clip.mp4", from_seconds=20.0, until_seconds=26.0)
    assert clip.made_from in ("journal", "pictures")
    codec, frames = frames_of(clip.path)
    assert codec == "vp9"
    for _, image in frames:
        assert image[:, : image.shape[1] // 3].mean() < 20
        assert image[:, -image.shape[1] // 3 :].mean() > 100


def test_a_clip_unpacks_no_frame_of_another_time(serve, tmp_path, monkeypatch):
    service = serve(pictures="none")
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(12))
    commit_journals(service)
    checked, unpacked = change_records.checked_frame, []

    def counted(saved, image, due):
        unpacked.append(saved.number("pts_seconds"))
        return checked(saved, image, due)

    monkeypatch.setattr(change_records, "checked_frame", counted)
    made = service.record.clip("door", tmp_path / "a.mp4", from_seconds=8.0, until_seconds=10.0)
    assert made.made_from == "journal"
    assert unpacked == [8.0, 9.0, 10.0]


def test_a_clip_of_pushed_frames_is_made_of_what_is_kept(serve, tmp_path):
    service = serve()
    service.open_stream("desk", **FEW)
    push(service, "desk", generate_world(4, 12).frames(1.0))
    commit_journals(service)
    clip = service.record.clip("desk", tmp_path / "clip.mp4", from_seconds=3.0, until_seconds=8.0)
    assert clip.made_from == "journal"
    assert (clip.from_seconds, clip.until_seconds) == (3.0, 8.0)
    codec, frames = frames_of(clip.path)
    assert codec == "vp9"
    assert frames[-1][0] == pytest.approx(4.0)
    with pytest.raises(UnknownPictureError, match="nothing is kept of stream 'desk'"):
        service.record.clip("desk", tmp_path / "no.mp4", from_seconds=500.0, until_seconds=501.0)
    for begin, end in ((5.0, 5.0), (0.0, MAX_CLIP_SECONDS + 1)):
        with pytest.raises(ValueError, match="a clip goes from one time to a later one"):
            service.record.clip("desk", tmp_path / "no.mp4", from_seconds=begin, until_seconds=end)


def test_an_answer_is_found_with_its_picture(serve):
    service = serve()
    service.open_stream("desk", **FEW)
    push(service, "desk", generate_world(4, 6).frames(1.0))
    answer = service.ask("desk", "what is it?", options=["a lynx", "an emu"])
    answer.wait()
    service._running.store.writer.write(lambda _: None)
    (found,) = service.record.search(answer.text, stream="desk").results
    assert found.event.kind == "answered"
    assert service.picture(found.event.picture)
    assert found.event.payload["confidence"] == answer.confidence
    asked = service.ask("desk", "what is it?", options=["a lynx", "an emu"], clarify_below=1.0)
    assert asked.text.startswith("I am not sure.")
    assert asked.clarification
    assert asked.guess == answer.text
    assert asked.confidence == pytest.approx(answer.confidence, abs=1e-4)
    service._running.store.writer.write(lambda _: None)
    assert service.questions("desk")[0].asked.guess == answer.text


def test_incidents_are_chosen_by_what_they_are_and_when(told):
    _, store, row = told
    yard = store.streams.add("yard", options=OPTIONS, owner=None, wall_seconds=1.0)
    raise_alert(store, yard, 50.0, "9-1", severity="warning")
    store.writer.write(lambda _: None)

    def ids(**chosen) -> list[str]:
        return [one.id for one in store.incidents.read(**chosen)]

    assert ids() == ["9-1", "7-2", "7-1"]
    assert ids(stream_id=row.id) == ["7-2", "7-1"]
    assert ids(status="ended") == ["7-1"]
    assert ids(severities=["warning", "alarm"]) == ["9-1", "7-1"]
    assert ids(since=1040.0) == ["9-1", "7-2"]
    assert ids(until=1040.0) == ["7-1"]
    assert ids(before="9-1") == ["7-2", "7-1"]
    assert ids(limit=1) == ["9-1"]
    found = incidents_during(store.database, row.id, since=1026.0, until=None, limit=10)
    assert [one.id for one in found] == ["7-1", "7-2"], "the oldest first; it ended just then"


def test_each_key_reviews_for_itself(told):
    _, store, _ = told
    for key_id in (3, 4):
        store.incidents.review("7-1", True, key_id=key_id)
    store.incidents.review("7-1", False, key_id=3)
    assert [store.incidents.find("7-1", key_id=k).is_reviewed for k in (0, 3, 4)] == [False, False, True]
    assert [one.id for one in store.incidents.read(is_reviewed=False, key_id=4)] == ["7-2"]


def test_pictures_that_incidents_and_events_show_are_cited_by_stream(told):
    _, store, row = told
    yard = store.streams.add("yard", options=OPTIONS, owner=None, wall_seconds=1.0)
    raise_alert(store, yard, 50.0, "9-1", pictures=[{"stream_seconds": 1.0, "picture": "yard/a.jpg"}])
    raise_alert(store, row, 51.0, "7-3", pictures=[{"stream_seconds": 1.0, "picture": "door/a.jpg"}])
    new = NewEvent(kind="gap", stream_id=row.id, wall_seconds=1.0, payload={}, picture="door/b.jpg")
    store.tell(new)
    store.writer.write(lambda _: None)
    assert store.incidents.cited_pictures(row.id) == {"door/a.jpg", "door/b.jpg"}
