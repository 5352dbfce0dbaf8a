"""Kills and days of the real service, in short; and what is wrong is found."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from hermes_lab.stress.followed_events import compare_events
from hermes_lab.stress.numbered_frames import numbered_frame
from hermes_lab.stress.service_day import Sample, watch_day
from hermes_lab.stress.service_day import summary as growth_of
from hermes_lab.stress.service_kills import KilledService, Restart, summary
from hermes_lab.stress.undisturbed import Gathered, compare
from hermes_stream import Session, load_model
from hermes_stream.client.values import EventValue

linux = pytest.mark.skipif(sys.platform != "linux", reason="programs are killed and looked at as Linux does")
OPTIONS = {"policy": "hermes", "fps": 2.0, "chunk_frames": 4, "budget_tokens": 72, "text_tokens": 128}


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.mark.long
@linux
def test_a_killed_service_comes_back_the_same(tiny, tmp_path):
    numbers = KilledService(tiny, tmp_path, num_streams=2, num_kills=3, seed=4).run()
    assert (numbers["num_kills"], numbers["num_not_back"], numbers["num_unanswered"]) == (3, 0, 0)
    assert numbers["num_memories"] == numbers["num_same_memories"] > 0, numbers["streams"]
    assert numbers["num_missing_frames"] == 0
    assert numbers["events"]["num_followed_events"] == numbers["events"]["num_events"] > 0
    assert numbers["events"]["num_recorded_twice"] == 0
    assert numbers["exit_status_at_sigterm"] == 0


@pytest.mark.long
@linux
def test_a_day_in_short(tiny, tmp_path):
    numbers = watch_day(tiny, tmp_path, 60, num_streams=2, num_samples=4)
    assert (numbers["num_missing_frames"], numbers["num_dropped_frames"]) == (0, 0)
    assert [one["num_frames"] for one in numbers["samples"]] == [15, 30, 45, 60]
    assert numbers["num_times_alerts_were_asked"] > 0
    assert numbers["growth"]["num_threads"] == 0


def gathered(tiny, seed: int) -> Gathered:
    """Return changes and memories of a stream whose frames are numbered, as a journal would have them."""
    found, session = Gathered(), Session(tiny, "hermes", budget_tokens=72, chunk_frames=4, text_tokens=128)
    session.record(found.changes.append)
    for number in range(9):
        session.observe(numbered_frame(seed, number, 2.0))
    found.memories.append((session.num_changes, "", "restored"))
    return found


def test_what_is_wrong_with_a_memory_is_found(tiny):
    found = gathered(tiny, 0)
    numbers = compare(tiny, found, OPTIONS, lambda pts: numbered_frame(0, round(pts * 2), 2.0))
    assert numbers["wrong_memories"] == [f"restored at change {len(found.changes)}"]
    assert (numbers["num_wrong_pictures"], numbers["num_memories"], numbers["num_same_memories"]) == (0, 1, 0)
    other = compare(tiny, found, OPTIONS, lambda pts: numbered_frame(1, round(pts * 2), 2.0))
    assert other["num_wrong_pictures"] == 9
    del found.changes[4]
    numbers = compare(tiny, found, OPTIONS, lambda pts: numbered_frame(0, round(pts * 2), 2.0))
    assert numbers["memories_beyond_the_journal"]


def event(number: int, kind: str = "gap", **more) -> EventValue:
    return EventValue(
        document={}, id=number, kind=kind, wall_seconds=float(number), payload=more.pop("payload", {}), **more
    )


def test_what_is_wrong_with_events_is_found():
    record = [event(number) for number in range(1, 6)]
    good = compare_events(record, record)
    wrong = ("num_missed_events", "num_doubled_events", "num_events_out_of_order", "num_changed_events")
    assert {good[name] for name in (*wrong, "num_lost_committed_events", "num_recorded_twice")} == {0}
    assert compare_events(record[:2] + record[3:], record)["num_missed_events"] == 1
    assert compare_events([*record, record[-1]], record)["num_doubled_events"] == 1
    assert compare_events([record[1], record[0]], record)["num_events_out_of_order"] == 1
    assert compare_events([*record, event(9)], record)["num_lost_committed_events"] == 1
    assert compare_events([replace(record[0], kind="answered")], record)["num_changed_events"] == 1
    twice = [event(n, "answered", stream="a", payload={"question": "q 1"}) for n in (1, 2)]
    assert compare_events(twice, twice)["num_recorded_twice"] == 1


def test_what_is_wrong_makes_a_run_wrong():
    memory = dict.fromkeys(
        ("num_memories", "num_same_memories", "num_missing_frames", "num_wrong_pictures"), 0
    ) | dict.fromkeys(("num_missing_changes", "num_doubled_frames", "num_unreadable_snapshots"), 0)
    restart = Restart(
        num_kills=1,
        start_seconds=4.0,
        back_seconds=1.0,
        recovery_seconds=0.5,
        lost_seconds=0.4,
        num_lost_frames=1,
        num_not_back=0,
        num_unanswered=0,
    )
    answers = {"num_unrecorded": 0}

    def is_right(one=restart, events=None, **more) -> bool:
        return summary([one], {"a": memory | more}, events or {}, answers)["is_right"]

    assert is_right()
    assert is_right(num_memories=3, num_same_memories=3)
    assert not is_right(num_memories=3, num_same_memories=2)
    assert not is_right(num_missing_changes=1)
    assert not is_right(replace(restart, lost_seconds=1.1))
    assert not is_right(replace(restart, back_seconds=5.1))
    assert not is_right(replace(restart, num_unanswered=1))
    assert not is_right(events={"num_missed_events": 1})


def test_growth_is_found():
    first = Sample(
        num_frames=1, seconds=1.0, resident_bytes=1000, folder_bytes=1, num_threads=10, num_files=20
    )
    more = replace(first, resident_bytes=1021)
    assert growth_of([first, replace(first, resident_bytes=1019)])["is_flat"]
    assert not growth_of([first, more])["is_flat"]
    assert not growth_of([first, first, more, more])["is_flat"]
    at_one_look = growth_of([first, first, more, first, first, first])
    assert at_one_look["is_flat"]
    assert at_one_look["most_at_one_look"]["resident_bytes"] == pytest.approx(0.021)
    assert not growth_of([first, replace(first, num_files=21)])["is_flat"]
