"""Standing questions of sessions and engines: what they tell, what they leave alone, and who goes first."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from tests.lives import is_same, life, live, streams

from hermes_stream import Engine, Session, load_model
from hermes_stream.errors import CapacityError
from hermes_stream.policies import RecentNPolicy
from hermes_stream.stream.scoring import score
from hermes_stream.stream.watches import Schedule, WatchRules, watches
from hermes_stream.stream.watches.newness import newness_since
from hermes_stream.synthetic.world import generate_world

FRAMES = list(generate_world(3294, 26).frames(1.0))  # a green circle comes at 16 s, a blue one at 21 s
CIRCLE = "was there a green circle?"
NOW = ("purple triangle", "purple square", "green circle", "blue circle", "white cross", "nothing")


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def watched(tiny, question: str = CIRCLE, kind: str = "alert", *, chunk_frames: int = 1, **rules):
    session = Session(tiny, fps=1, chunk_frames=chunk_frames)
    watch = session.watch(question, kind, **rules)
    session.observe(FRAMES)
    session.flush()
    return watch


def told(watch) -> list[tuple[str, float, str]]:
    return [(one.kind, one.stream_seconds, one.value) for one in watch.take_events()]


def test_an_alert_is_raised_when_it_becomes_true(tiny):
    watch = watched(tiny)
    (event,) = watch.take_events()
    assert (event.kind, event.stream_seconds, event.value_before) == ("raised", 16.0, "no")
    assert event.score > 0.9
    assert watch.stats.num_asked == 26
    assert watch.stats.num_skipped == 0
    assert not watch.take_events()


def test_what_must_hold_is_told_later_with_its_beginning(tiny):
    (event,) = watched(tiny, hold_seconds=3).take_events()
    assert (event.stream_seconds, event.since_seconds) == (19.0, 16.0)


def test_an_onset_is_asked_only_where_yes_might_begin(tiny, monkeypatch):
    asked: list[int] = []

    def counted(model, context, questions):
        asked.append(len(questions))
        return score(model, context, questions)

    monkeypatch.setattr(watches, "score", counted)
    rules = {"onset": "did a green circle come since you last answered two seconds ago?"}
    events = told(watched(tiny, "is there a green circle now?", **rules))
    assert events[0] == ("raised", 16.0, "yes")
    # once a look, and once more where it comes: while it is there nothing can begin
    assert len(asked) == 26 + [kind for kind, _, _ in events].count("raised")
    assert set(asked) == {1}


def test_a_state_tells_each_change_but_not_its_beginning(tiny):
    watch = watched(tiny, "what is on screen now?", "state", options=NOW)
    events = told(watch)
    assert events[0][2] == "purple triangle"
    assert all(kind == "changed" for kind, _, _ in events)
    assert all(before != after for (_, _, before), (_, _, after) in pairwise(events))
    assert ("changed", 16.0, "green circle") in events


def test_what_is_asked_about_now_need_not_read_the_past(tiny):
    past = watched(tiny, "was there a purple triangle?", clear_at=0.5)
    now = watched(tiny, "was there a purple triangle?", newest_seconds=3)
    assert [kind for kind, _, _ in told(past)] == ["raised"]
    assert [kind for kind, _, _ in told(now)] == ["raised", "cleared"]


def test_a_count_tells_each_rise(tiny):
    watch = watched(tiny, "how many circles came so far?", "count")
    assert told(watch) == [("counted", 16.0, "1"), ("counted", 21.0, "2")]
    assert watch.value == "2"


def test_a_description_speaks_where_the_stream_is_new_and_says_nothing_twice(tiny):
    watch = watched(tiny, "what is on screen now?", "describe", newness_quantile=0)
    events = told(watch)
    assert [value for _, _, value in events][:2] == ["nothing", "purple triangle"]
    assert watch.stats.num_suppressed == {"same": 26 - len(events)}
    assert 0 < len(watched(tiny, "what is on screen now?", "describe").take_events()) < len(events)


def test_a_long_chunk_makes_answers_late_and_says_so(tiny):
    watch = watched(tiny, chunk_frames=8, every_seconds=1)
    assert [one.stream_seconds for one in watch.take_events()] == [23.0]
    assert watch.stats.num_asked == 4
    assert watch.stats.num_skipped == 7 + 7 + 1


def test_every_seconds_asks_no_more_often(tiny):
    assert watched(tiny, every_seconds=4).stats.num_asked == 7


@pytest.mark.parametrize("calibrate", ["blank", "start"])
def test_what_is_usual_is_taken_off(tiny, calibrate):
    watch = watched(tiny, calibrate=calibrate)
    assert (watch.usual.num_looks, watch.usual.is_settled) == ((1, True), (26, False))[calibrate == "start"]
    assert bool(watch.take_events()) is (calibrate == "blank")  # 26 s are not a minute


def test_suppressed_events_are_counted_with_their_reasons(tiny):
    ask_now = ("what is on screen now?", "state")
    assert not watched(tiny, *ask_now, options=NOW, cooldown_seconds=100).stats.num_suppressed.keys() - {
        "cooldown"
    }
    session = Session(tiny, fps=1, chunk_frames=1)
    snoozed = session.watch(CIRCLE, name="snoozed")
    snoozed.snooze(20.0)
    closed = session.watch(CIRCLE, name="closed", schedule=Schedule(days=("mon",)))
    session.watches.moment_of = lambda _: datetime(2024, 7, 2, tzinfo=UTC)  # a Tuesday
    session.observe(FRAMES)
    assert snoozed.stats.num_suppressed == {"snoozed": 1}
    assert closed.stats.num_suppressed == {"schedule": 1}
    assert not snoozed.take_events()
    assert not closed.take_events()


def test_watches_leave_a_life_as_it_was_to_the_bit(tiny):
    events = life(seed=5, num_frames=30)
    plain, with_watches = Session(tiny, chunk_frames=4), Session(tiny, chunk_frames=4)
    with_watches.watch("was there a red circle?", calibrate="blank")
    with_watches.watch("what is on screen now?", "describe", newness_quantile=0)
    with_watches.watch("how many circles came so far?", "count")
    assert live(plain, events) == live(with_watches, events)
    assert is_same(*streams(plain, with_watches))
    assert with_watches.watches.stats.num_asked > 6


def test_frames_that_are_held_can_be_watched(tiny):
    session = Session(tiny, RecentNPolicy(budget_tokens=36), fps=1, chunk_frames=1)
    watch = session.watch("what is on screen now?", "state", options=NOW)
    session.observe(FRAMES)
    assert ("changed", 16.0, "green circle") in told(watch)


def test_an_engine_tells_what_sessions_tell(tiny):
    engine, expected, found = Engine(tiny), [], []
    for seed in range(3):
        session = Session(tiny, fps=1, chunk_frames=2)
        handle = engine.add(fps=1, chunk_frames=2)
        for one, events in ((session, expected), (handle, found)):
            one.watch("what is on screen now?", "state", options=NOW, on_event=events.append)
            one.watch("how many circles came so far?", "count", on_event=events.append)
        frames = list(generate_world(seed, 30).frames(1.0))
        session.observe(frames)
        handle.observe(frames)
    engine.run()
    assert [(one.watch, one.stream_seconds, one.value) for one in sorted(found, key=_order)] == [
        (one.watch, one.stream_seconds, one.value) for one in sorted(expected, key=_order)
    ]
    assert len(found) > 10
    for handle in engine.streams:
        stats = handle.watches.stats
        assert (stats.num_polls, stats.num_skipped, stats.num_failed) == (15, 0, 0)
        assert 0 < stats.share < 1
        assert stats.milliseconds_each > 0


def _order(event):
    return event.watch, event.stream_seconds, event.value


def test_a_persons_question_goes_before_a_description(tiny):
    engine = Engine(tiny)
    handle = engine.add(fps=1, chunk_frames=1)
    watch = handle.watch("what is on screen now?", "describe", newness_quantile=0)
    handle.observe(FRAMES[:1])
    while handle.is_settled or not handle._is_watching:
        engine.step()
    answer = handle.ask("what is on screen now?", max_new_tokens=1)
    assert handle.is_settled
    engine.step()
    assert answer.is_done
    assert watch.stats.num_asked == 0
    engine.run()
    assert watch.stats.num_asked == 1
    assert len(watch.take_events()) == 1


def test_who_listens_may_ask_in_turn(tiny):
    engine, answers = Engine(tiny), []
    handle, other = engine.add(fps=1, chunk_frames=1), engine.add(fps=1, chunk_frames=1)
    handle.watch(CIRCLE, on_event=lambda _: answers.append(handle.ask("what is on screen now?").text))
    other.watch(CIRCLE)
    for one in (handle, other):
        one.observe(FRAMES[:19])
    engine.run()
    assert answers == ["green circle"]


def test_a_listener_that_fails_stops_nothing(tiny, caplog):
    watch = watched(tiny, on_event=lambda _: 1 / 0)
    assert "what listens to watch 'was there a green circle?' failed" in caplog.text
    assert watch.stats.num_asked == 26


def test_a_look_that_fails_is_counted_and_the_stream_goes_on(tiny, monkeypatch, caplog):
    import hermes_stream.stream.watches.watches as module

    def broken(*_):
        raise RuntimeError("no room")
        yield

    monkeypatch.setattr(module, "score", broken)
    watch = watched(tiny)
    assert (watch.stats.num_failed, watch.stats.num_asked) == (26, 26)
    assert "could not be asked" in caplog.text


def test_a_closed_watch_is_not_asked(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    watch = session.watch(CIRCLE)
    watch.close()
    watch.close()
    session.observe(FRAMES)
    assert watch.stats.num_asked == 0
    assert not len(session.watches)
    assert not list(session.watches)


def test_events_that_nobody_takes_give_way(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    watch = session.watch(CIRCLE)
    session.observe(FRAMES)
    (event,) = watch.take_events()
    for _ in range(300):
        watch.deliver(event)
    assert len(watch.take_events()) == 256
    assert watch.stats.num_forgotten_events == 44


def test_names_and_numbers_of_watches_are_bounded(tiny):
    session = Session(tiny, chunk_frames=1)
    session.watch(CIRCLE)
    with pytest.raises(ValueError, match=r"there is a watch named .* already; give this one another name="):
        session.watch(CIRCLE)
    for index in range(63):
        session.watch(CIRCLE, name=str(index))
    with pytest.raises(CapacityError, match="at most 64 watches; close one"):
        session.watch(CIRCLE, name="one more")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": " "}, "a question must be a non-empty text"),
        ({"kind": "alarm"}, "kind must be one of alert, state, describe, count; got 'alarm'"),
        ({"kind": "state"}, "a state needs options"),
        ({"options": ("a", "b")}, "takes no options"),
        ({"kind": "state", "options": ("a",)}, "options must be a list of 2 to 26 texts"),
        ({"raise_at": 0}, "raise_at must be above 0 and at most 1, got 0"),
        ({"raise_at": 0.3, "clear_at": 0.5}, "clear_at must be from 0 to raise_at, 0.3; got 0.5"),
        ({"hold_seconds": -1}, "hold_seconds must be a number of seconds, 0 or more; got -1"),
        ({"cooldown_seconds": float("nan")}, "cooldown_seconds must be a number of seconds"),
        ({"every_seconds": "1"}, "every_seconds must be a number of seconds, got '1'"),
        ({"max_per_hour": 0}, "max_per_hour must be a whole number of at least 1, got 0"),
        ({"newness_quantile": 1.0}, "newness_quantile must be at least 0 and below 1"),
        ({"calibrate": "black"}, "calibrate must be one of none, blank, start; got 'black'"),
    ],
)
def test_rules_that_are_none_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        WatchRules(**{"question": "is it?", **fields})


def test_what_is_given_and_the_onset_read_the_whole_memory(tiny):
    asked = {"also": (CIRCLE,), "given": CIRCLE, "onset": CIRCLE}
    watch = Session(tiny).watch("is it?", newest_seconds=2, **asked)
    assert [one.newest_seconds for one in (watch.question, *watch.conditions)] == [2, 2, None, None]


def test_a_frame_that_was_looked_at_is_new_no_more(tiny):
    session = Session(tiny, fps=1, chunk_frames=1)
    session.observe(FRAMES[:3])
    assert newness_since(session.cache, 1.0) > 0
    assert newness_since(session.cache, 2.0) == 0


def test_a_description_asks_what_is_new_since_the_last_look(tiny, monkeypatch):
    since = []
    monkeypatch.setattr(watches, "newness_since", lambda _, seconds: since.append(seconds) or 0.0)
    session = Session(tiny, fps=1, chunk_frames=1)
    session.watch("what is new?", "describe")
    session.observe(FRAMES[:3])
    assert since == [None, 0.0, 1.0]
