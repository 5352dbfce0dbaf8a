"""Standing questions of a service: asked by the engine, recorded once, restored after any end."""

from __future__ import annotations

import math
import time
import weakref
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.checkpoints import random_frames
from tests.waiting import until

from hermes_stream import load_model
from hermes_stream.errors import (
    CapacityError,
    StoreError,
    UnknownIncidentError,
    UnknownStreamError,
    UnknownWatchError,
    WatchExistsError,
)
from hermes_stream.service import Service, incident_keeper
from hermes_stream.service.incident_keeper import IncidentKeeper
from hermes_stream.service.incidents import IncidentPicture
from hermes_stream.service.question_desk import QuestionDesk
from hermes_stream.service.settings import StartSettings
from hermes_stream.service.standing import Standing
from hermes_stream.service.watch_rows import WatchRow
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.service.watch_trial import _is_among, kept_frames
from hermes_stream.video import Frame, SourceOptions

FEW = {"budget_tokens": 40, "chunk_frames": 1, "fps": 1.0}
SURE = {"raise_at": 1e-9, "clear_at": 0.0}


def push(service, name, frames):
    """Push frames one by one, and wait until each is in the memory and its watches were asked."""
    for frame in frames:
        service.push_frames(name, frame, wait_seconds=5)
        until(lambda frame=frame: service.stream(name).folded_until_seconds == frame.pts_seconds)
        until(lambda: not service._running.thread.run(lambda _: is_due(service, name)))


def is_due(service, name):
    return service._running.registry.find(name).live.handle.watches.is_due


def events(service, *kinds):
    service._running.store.writer.write(lambda _: None)
    return service.events(kinds=kinds or None)


def test_an_alert_becomes_an_event_and_an_incident(serve):
    service = serve()
    service.open_stream("door", **FEW)
    made = service.watches.add("door", "is a person there?", name="person", severity="alarm", **SURE)
    push(service, "door", random_frames(4))
    (raised,) = until(lambda: events(service, "alert_raised"))
    assert raised.stream == "door"
    assert raised.pts_seconds == 0
    assert raised.picture is not None
    assert raised.payload["name"] == "person"
    assert raised.payload["watch"] == made.id
    assert raised.payload["incident"] == f"{made.id}-1"
    assert raised.payload["severity"] == "alarm"
    assert raised.payload["evidence"] == [0.0]
    (incident,) = service.incidents.read()
    assert (incident.id, incident.status, incident.stream) == (f"{made.id}-1", "open", "door")
    assert incident.pictures[0].picture == raised.picture
    now = service.watches.show("door", "person")
    assert (now.value, now.since_seconds, now.stats.num_asked) == ("yes", 0.0, 4)
    assert [one[0] for one in service.watches.scores("door", made.id)] == [0.0, 1.0, 2.0, 3.0]
    assert service.stream("door").watches.num_asked == 4


def test_an_incident_is_updated_with_pictures_and_ended(serve, monkeypatch):
    service, asked, ask = serve(), [], QuestionDesk.ask
    monkeypatch.setattr(
        QuestionDesk, "ask", lambda *a, **k: asked.append((a[2], k["remember"])) or ask(*a, **k)
    )
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(3))
    made = service.watches.add(
        "door", "is it?", pre_seconds=2, post_seconds=2, summary_question="what is seen?", **SURE
    )
    push(service, "door", random_frames(7)[3:])
    (updated,) = until(lambda: events(service, "incident_updated"))
    assert updated.payload["picture_seconds"] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert updated.payload["summary"] is None or updated.payload["summary"]
    assert asked == [("what is seen?", False)]
    (incident,) = service.incidents.read(status="open")
    assert [one.stream_seconds for one in incident.pictures] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert all(service.picture(one.picture) for one in incident.pictures)
    assert incident.num_updates == 1
    service.watches.remove("door", made.id)
    (cleared,) = until(lambda: events(service, "alert_cleared"))
    assert cleared.payload["incident"] == incident.id
    (incident,) = service.incidents.read(status="ended")
    assert incident.ended_seconds == 6.0
    assert service.watches.of_stream("door") == ()


@pytest.mark.parametrize("journal", [True, False])
def test_pictures_that_the_memory_forgot_come_from_the_journal(serve, journal):
    service = serve(journal=journal)
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(30))
    service._running._upkeep.forget_pictures()
    pictures = service._running.registry.find("door").pictures
    held = list(pictures.between(0.0, 29.0))
    assert len(held) < 30
    service.watches.add("door", "is it?", pre_seconds=20, post_seconds=0, **SURE)
    push(service, "door", random_frames(31)[30:])
    (updated,) = until(lambda: events(service, "incident_updated"))
    (incident,) = service.incidents.read()
    begin = incident.started_seconds - 20
    shown = [one.stream_seconds for one in incident.pictures]
    assert shown == updated.payload["picture_seconds"]
    assert incident.started_seconds in shown
    assert not any("/1970-" in one.picture for one in incident.pictures)
    assert all(service.picture(one.picture) for one in incident.pictures)
    gaps = [b - a for a, b in pairwise([begin, *shown, begin + 20])]
    if journal:
        assert max(gaps) <= 4  # of twelve parts of 20 s none is empty
        assert set(shown) - {*held, incident.started_seconds}
    else:
        assert set(shown) <= {*held, incident.started_seconds}
    service._running._upkeep.forget_pictures()
    assert all(service.picture(one.picture) for one in incident.pictures)


def test_without_pictures_an_incident_has_none(serve):
    service = serve(pictures="none")
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", post_seconds=1, **SURE)
    push(service, "door", random_frames(4))
    (updated,) = until(lambda: events(service, "incident_updated"))
    assert (updated.picture, updated.payload["picture_seconds"]) == (None, [])


def test_nothing_is_told_twice_after_a_restart(serve, tmp_path):
    service = serve()
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", name="a", **SURE)
    service.watches.add("door", "which?", kind="state", options=["a", "b"], name="b", raise_at=0.1)
    push(service, "door", random_frames(4))
    until(lambda: events(service, "alert_raised"))
    service.close(drain_seconds=0)
    again = serve()
    assert [one.settings.name for one in again.watches.of_stream("door")] == ["a", "b"]
    assert again.watches.show("door", "a").value == "yes"
    push(again, "door", random_frames(8)[4:])
    assert again.watches.show("door", "a").stats.num_asked == 4
    assert len(events(again, "alert_raised")) == 1
    again.watches.remove("door", "a")
    (cleared,) = until(lambda: events(again, "alert_cleared"))
    assert cleared.payload["incident"] == events(again, "alert_raised")[0].payload["incident"]


def test_a_watch_is_changed_switched_off_and_snoozed(serve):
    service = serve()
    service.open_stream("door", **FEW)
    made = service.watches.add("door", "is it?", name="a", **SURE)
    push(service, "door", random_frames(2))
    until(lambda: events(service, "alert_raised"))
    off = service.watches.change("door", "a", {"is_on": False})
    assert (off.id, off.failure) == (made.id, "it is switched off")
    (cleared,) = until(lambda: events(service, "alert_cleared"))
    assert (cleared.payload["value_before"], cleared.payload["value"]) == ("yes", None)
    assert cleared.payload["reason"] == "the watch was changed"
    push(service, "door", random_frames(4)[2:])
    on = service.watches.change("door", made.id, {"is_on": True, "name": "b", "cooldown_seconds": 5})
    assert on.settings.label == "b"
    push(service, "door", random_frames(5)[4:])
    assert [one.payload["incident"] for one in until(lambda: events(service, "alert_raised")[1:])] == [
        f"{made.id}-2"
    ]
    snoozed = service.watches.snooze("door", "b", 60)
    assert snoozed.snoozed_until_seconds == 64.0
    assert service.watches.snooze("door", str(made.id), 0).snoozed_until_seconds is None


def test_watches_are_refused_with_their_reasons(serve):
    service = serve(max_watches=2)
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", name="a")
    assert service.watches.add("door", "is it?", name="a").id == service.watches.show("door", "a").id
    with pytest.raises(WatchExistsError, match="another watch 'a'"):
        service.watches.add("door", "was it?", name="a")
    with pytest.raises(UnknownWatchError, match=r"its watches: 1 \(a\)"):
        service.watches.show("door", "b")
    with pytest.raises(ValueError, match="a state needs options"):
        service.watches.add("door", "what?", kind="state")
    with pytest.raises(ValueError, match="raise_at"):
        service.watches.add("door", "what?", raise_at=2)
    with pytest.raises(CapacityError, match="has for text"):
        service.watches.add("door", "is " * 600)
    service.watches.add("door", "was it?")
    with pytest.raises(CapacityError, match="max_watches"):
        service.watches.add("door", "will it?")
    service.open_stream("passing", temporary=True, **FEW)
    with pytest.raises(ValueError, match="in no record"):
        service.watches.add("passing", "is it?")


def test_rules_of_a_watch_are_those_that_were_asked_for(serve):
    service = serve()
    service.open_stream("door", **FEW)
    region = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))
    schedule = {"days": ["mon"], "begins": "08:00", "ends": "18:00"}
    asked = {"context": "cars are normal", "region": region, "group_above": 0.9, "schedule": schedule}
    service.watches.add("door", "is it?", name="a", raise_at=0.3, **asked)
    (watch,) = service._running.registry.find("door").live.handle.watches
    rules = watch.rules
    assert (rules.context, rules.region, rules.group_above) == ("cars are normal", region, 0.9)
    assert (rules.raise_at, rules.clears_at, rules.schedule.days) == (0.3, 0.3, ("mon",))
    push(service, "door", random_frames(2))
    assert service.watches.show("door", "a").stats.num_failed == 0


def test_words_that_the_model_does_not_know_are_logged_also_at_the_start(tmp_path, caplog):
    from hermes_stream.cli.configured_streams import open_streams

    tiny, said = (
        load_model("tiny", device="cpu"),
        "watch 'door': 'person' and 'door' are no words that tiny knows",
    )
    asked = {"name": "door", "question": "is a person at the door?"}
    start = StartSettings(streams={"hall": {"watches": [asked]}})
    with Service(tiny, tmp_path) as service, caplog.at_level("WARNING", "hermes_stream.service.standing"):
        open_streams(service, start)
        assert [one.getMessage() for one in caplog.records] == [said]
    caplog.clear()
    with Service(tiny, tmp_path), caplog.at_level("WARNING", "hermes_stream.service.standing"):
        assert [one.getMessage() for one in caplog.records] == [said]


@pytest.mark.parametrize(
    ("machine", "source", "own", "is_heard"),
    [
        ("UTC", None, None, False),
        ("Asia/Tokyo", None, None, True),
        ("UTC", "Asia/Tokyo", None, True),
        ("Asia/Tokyo", "UTC", None, False),
        ("Asia/Tokyo", "Asia/Tokyo", "UTC", False),
        ("UTC", "UTC", "Asia/Tokyo", True),
    ],
)
def test_hours_are_of_the_watch_else_of_the_camera_else_of_the_machine(
    serve, machine_zone, machine, source, own, is_heard
):
    machine_zone(machine)
    service = serve()
    day = SourceOptions(schedule="00:00-00:00", time_zone=source)
    service.open_stream("door", **FEW, source_options=day)
    now = datetime.now(ZoneInfo("Asia/Tokyo"))
    begins, ends = (f"{now + timedelta(minutes=by):%H:%M}" for by in (-30, 30))
    hours = {"begins": begins, "ends": ends} | ({} if own is None else {"time_zone": own})
    service.watches.add("door", "is it?", name="a", schedule=hours, **SURE)
    push(service, "door", random_frames(2))
    stats = service.watches.show("door", "a").stats
    assert stats.num_suppressed == ({} if is_heard else {"schedule": 1})
    assert len(events(service, "alert_raised")) == is_heard
    assert service.watches.show("door", "a").settings.schedule.time_zone == own


def test_a_trial_tells_when_a_watch_would_have_spoken(serve):
    from hermes_stream.service.watch_settings import WatchSettings

    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(6))
    before = service.memory("door").layers
    trial = service.watches.test("door", WatchSettings(question="is it?", **SURE), since=1)
    assert [one.stream_seconds for one in trial.fired] == [1.0]
    assert [one[0] for one in trial.scores] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (trial.covered_seconds, trial.num_frames, trial.is_cut) == (4.0, 5, False)
    assert service.memory("door").layers == before
    assert service.watches.of_stream("door") == ()
    assert len(service.streams()) == 1
    assert service.watches.test("door", WatchSettings(question="is it?"), since=100).fired == ()


def test_a_memory_that_is_replaced_keeps_its_watches(serve):
    service = serve()
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(3))
    service.set_policy("door", "window", budget_tokens=60)
    push(service, "door", random_frames(5)[3:])
    assert service.watches.show("door", "is it?").value == "yes"
    assert len(events(service, "alert_raised")) == 1
    service.close_stream("door")
    service.open_stream("door")
    push(service, "door", random_frames(6)[5:])
    assert service.watches.show("door", "is it?").stats.num_asked == 1
    assert len(events(service, "alert_raised")) == 1


def test_who_reviewed_is_known_by_key(serve):
    service = serve()
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(2))
    (incident,) = until(service.incidents.read)
    assert service.incidents.review(incident.id, key_id=3).is_reviewed
    assert not service.incidents.find(incident.id).is_reviewed
    assert service.incidents.read(is_reviewed=True, key_id=3)
    assert not service.incidents.read(is_reviewed=True)
    assert not service.incidents.review(incident.id, False, key_id=3).is_reviewed
    assert service.incidents.read(before=incident.id) == ()


def test_an_alert_is_told_whatever_its_question_is_written_with(serve, store_address):
    service = serve(store=store_address)
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it\0?", **SURE)
    push(service, "door", random_frames(2))
    until(service.incidents.read)
    assert service.health().num_lost_events == 0


def test_a_watch_that_fails_is_told_of_once_a_minute():
    row = WatchRow(
        id=1, stream_id=1, name="a", settings={"question": "is it?"}, state=None, created_wall_seconds=0.0
    )
    told = []
    standing = Standing((row,), tell=told.append, save=lambda *_: None)
    (one,) = standing._standing.values()
    for _ in range(3):
        standing._tell_failure(one, "no memory")
    assert [each.payload["reason"] for each in told] == ["no memory"]
    one.failure_told_at -= 61
    standing._tell_failure(one, "no memory")
    assert len(told) == 2


def test_a_picture_of_a_frame_that_is_journalled_is_that_frame():
    assert [_is_among(1.0, [at]) for at in (0.985, 0.995, 1.005, 1.015)] == [False, True, True, False]


def test_a_trial_is_of_the_newest_frames_between_two_times(monkeypatch):
    frames = random_frames(6)

    def journalled(since: float, until: float) -> list[Frame]:
        return [one for one in frames if since <= one.pts_seconds <= until]

    served = SimpleNamespace(disk=SimpleNamespace(frames=journalled), pictures=None)
    assert kept_frames(served, Path(), 1.0, 4.0) == (frames[1:5], False)
    monkeypatch.setattr("hermes_stream.service.watch_trial.MAX_FRAMES", 2)
    assert kept_frames(served, Path(), 1.0, 4.0) == (frames[3:5], True)
    monkeypatch.setattr("hermes_stream.service.watch_trial._MAX_BYTES", frames[0].image.nbytes)
    assert kept_frames(served, Path(), 1.0, 4.0) == (frames[4:5], True)


def test_what_a_trial_reads_of_a_long_journal_is_bounded_while_it_is_read(monkeypatch):
    class Image(np.ndarray):
        """Pixels of which it is known whether anybody has them."""

    images, most = [], []

    def frames(*_):
        for frame in random_frames(40):
            image = frame.image.copy().view(Image)
            images.append(weakref.ref(image))
            most.append(sum(one() is not None for one in images))
            yield replace(frame, image=image)

    monkeypatch.setattr("hermes_stream.service.watch_trial.MAX_FRAMES", 5)
    served = SimpleNamespace(disk=SimpleNamespace(frames=frames), pictures=None, row=None)
    kept, is_cut = kept_frames(served, Path(), -math.inf, math.inf)
    assert ([frame.pts_seconds for frame in kept], is_cut) == ([35.0, 36.0, 37.0, 38.0, 39.0], True)
    assert max(most) <= 8


def test_a_change_that_is_refused_leaves_a_watch_as_it_was(serve):
    service = serve()
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", name="a", **SURE)
    push(service, "door", random_frames(2))
    with pytest.raises(CapacityError, match="has for text"):
        service.watches.change("door", "a", {"question": "is " * 600})
    push(service, "door", random_frames(4)[2:])
    now = service.watches.show("door", "a")
    assert (now.settings.question, now.value, now.stats.num_asked) == ("is it?", "yes", 4)
    assert len(events(service, "alert_raised")) == 1


def test_evidence_of_what_is_asked_about_now_is_new(serve):
    service = serve()
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", hold_seconds=3, newest_seconds=1.5, **SURE)
    push(service, "door", random_frames(4))
    (raised,) = until(lambda: events(service, "alert_raised"))
    assert raised.pts_seconds == 3
    assert set(raised.payload["evidence"]) <= {2.0, 3.0}
    assert raised.payload["evidence"]


def test_what_was_likely_but_not_raised_has_no_since():
    state = {"is_raised": False, "raised_since_seconds": 3.0}
    row = WatchRow(
        id=1, stream_id=1, name="a", settings={"question": "is it?"}, state=state, created_wall_seconds=0.0
    )
    for is_raised, since in ((False, None), (True, 3.0)):
        state["is_raised"] = is_raised
        (status,) = Standing((row,), tell=print, save=print).status("door")
        assert status.since_seconds == since


def keeper_of(**own) -> IncidentKeeper:
    """A keeper without a thread, of a service that is not there."""
    keeper = object.__new__(IncidentKeeper)
    for name, value in own.items():
        setattr(keeper, f"_{name}", value)
    return keeper


INCIDENT = SimpleNamespace(
    id="7-1",
    stream="door",
    watch=7,
    name="person",
    question="is it?",
    severity="info",
    status="open",
    started_seconds=20.0,
    score=0.9,
    pictures=(),
    evidence=(),
    num_updates=0,
)


def shows(newest: float | None, **more) -> SimpleNamespace:
    counts = SimpleNamespace(newest_seconds=newest)
    return SimpleNamespace(ring=SimpleNamespace(counts=counts), pictures=None, **more)


def test_an_incident_is_updated_once_all_is_there_or_nothing_more_comes(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    keeper = keeper_of(waiting={"7-1": 1000.0})
    settings = WatchSettings(question="is it?", hold_seconds=2.0, post_seconds=3.0)
    due = [keeper._is_due(shows(newest), INCIDENT, settings) for newest in (None, 24.9, 25.0)]
    assert due == [False, False, True]
    now[0] = 1012.9
    assert not keeper._is_due(shows(None), INCIDENT, settings)
    now[0] = 1013.0
    assert keeper._is_due(shows(None), INCIDENT, settings)


def test_an_incident_of_a_closed_stream_waits_for_an_hour_and_one_that_is_gone_for_nothing(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def find(name: str) -> None:
        raise {"7-1": UnknownStreamError, "7-2": UnknownIncidentError}[name]("no")

    store = SimpleNamespace(incidents=SimpleNamespace(find=find))
    keeper = keeper_of(waiting={"7-1": 1000.0, "7-2": 1000.0}, store=store)
    for name in ("7-1", "7-2"):
        keeper._update_if_due(name)
    assert list(keeper._waiting) == ["7-1"]
    now[0] += 3601
    keeper._update_if_due("7-1")
    assert keeper._waiting == {}


def test_an_alert_that_ended_while_words_were_looked_for_is_told_as_it_is():
    told, ended = [], SimpleNamespace(status="ended")
    store = SimpleNamespace(incidents=SimpleNamespace(find=lambda _: ended), tell=told.append)
    served = shows(30.0, row=SimpleNamespace(id=1, epoch=1))
    raised = replace_in(INCIDENT, pictures=(IncidentPicture(stream_seconds=20.0, picture="door/a.jpg"),))
    keeper_of(store=store)._update(served, raised, WatchSettings(question="is it?"))
    assert (told[0].payload["value"], told[0].payload["value_before"]) == ("no", "no")
    assert (told[0].payload["picture_seconds"], told[0].picture) == ([20.0], "door/a.jpg")


def test_after_a_restart_what_was_not_updated_is(monkeypatch):
    monkeypatch.setattr(incident_keeper, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    asked = {}
    known = [replace_in(INCIDENT, id=f"7-{k}", num_updates=k, started_wall_seconds=5.0) for k in (0, 1)]
    incidents = SimpleNamespace(read=lambda **chosen: asked.update(chosen) or known)
    store = SimpleNamespace(incidents=incidents, writer=SimpleNamespace(newest_event_id=3))
    keeper = IncidentKeeper(None, store, None)
    assert keeper._waiting == {"7-0": 5.0}
    assert time.time() - asked["since"] == pytest.approx(3600, abs=60)


def replace_in(one: SimpleNamespace, **changes) -> SimpleNamespace:
    return SimpleNamespace(**vars(one) | changes)


def test_a_record_that_is_away_for_a_while_ends_no_keeper(monkeypatch):
    monkeypatch.setattr(incident_keeper, "_PATIENCE_SECONDS", 0.0)
    keeper, tries = keeper_of(stopped=Event()), []

    def follow() -> None:
        tries.append(len(tries))
        if len(tries) == 2:
            keeper._stopped.set()
        raise StoreError("away")

    keeper._follow = follow
    keeper._run()
    assert tries == [0, 1]


def test_an_incident_that_cannot_be_updated_holds_up_no_other():
    def update(incident_id: str) -> None:
        if incident_id == "7-1":
            raise KeyError("value")
        del keeper._waiting[incident_id]

    store = SimpleNamespace(events=SimpleNamespace(follow=lambda *_, **__: [None]))
    keeper = keeper_of(waiting={"7-1": 0.0, "7-2": 0.0}, after=0, stopped=Event(), store=store)
    keeper._update_if_due = update
    keeper._follow()
    assert keeper._waiting == {}


def test_of_many_pictures_some_are_shown_the_first_and_the_last_among_them():
    seconds = list(incident_keeper._thinned({float(k): str(k) for k in range(100)}))
    assert (len(seconds), seconds[0], seconds[-1]) == (12, 0.0, 99.0)
    assert {b - a for a, b in pairwise(seconds)} == {9.0}


def test_an_incident_outlives_its_watch():
    def gone(_: int) -> None:
        raise UnknownWatchError("no")

    served = SimpleNamespace(standing=SimpleNamespace(settings=gone))
    assert incident_keeper._settings_of(served, INCIDENT) == WatchSettings(question="is it?")
