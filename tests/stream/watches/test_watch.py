"""One watch by itself, shown scores that no model made; and its state in a file."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hermes_stream.errors import SnapshotError
from hermes_stream.saved import Saved
from hermes_stream.stream.watches import Watch, WatchRules, restore_watch, saved_watch

YES, NO, UNSURE = 0.95, 0.05, 0.6


def watch_of(kind: str = "alert", answers: tuple[str, ...] = ("yes", "no"), **rules: Any) -> Watch:
    made = WatchRules(question="is it?", kind=kind, **rules)
    return Watch(made, None, answers, on_event=None, leave=lambda _: None)


def see(watch: Watch, scores: list[float], *, begins: int = 0) -> list[tuple[str, float, int, str | None]]:
    """Show how likely yes is, second by second; return what there was to say."""
    found = []
    for second, score in enumerate(scores, begins):
        logprobs = (math.log(score), math.log(1 - score))
        event = watch.see_scores(float(second), logprobs, is_scheduled=True)
        if event is not None:
            found.append((event.kind, event.stream_seconds, event.incident, event.suppressed))
    return found


def test_an_incident_begins_and_ends_under_one_number():
    watch = watch_of(raise_at=0.8, clear_at=0.3)
    assert see(watch, [NO, YES, UNSURE, NO, UNSURE, YES]) == [
        ("raised", 1.0, 1, None),
        ("cleared", 3.0, 1, None),
        ("raised", 5.0, 2, None),
    ]
    assert watch.value == "yes"


def test_the_end_of_what_was_not_sent_is_not_sent():
    watch = watch_of(cooldown_seconds=10)
    assert see(watch, [YES, NO, YES, NO]) == [
        ("raised", 0.0, 1, None),
        ("cleared", 1.0, 1, None),
        ("raised", 2.0, 2, "cooldown"),
        ("cleared", 3.0, 2, "not_raised"),
    ]
    assert watch.stats.num_suppressed == {"cooldown": 1, "not_raised": 1}


def test_no_more_than_so_many_an_hour():
    watch = watch_of(max_per_hour=2)
    reasons = [reason for kind, _, _, reason in see(watch, [YES, NO] * 3) if kind == "raised"]
    assert reasons == [None, None, "max_per_hour"]
    assert see(watch, [YES], begins=3700) == [("raised", 3700.0, 4, None)]


def test_the_first_minute_is_taken_off_and_silent():
    watch = watch_of(raise_at=0.5, calibrate="start")
    assert see(watch, [UNSURE] * 60) == []
    assert watch.usual.num_looks == 60
    assert see(watch, [UNSURE + 0.1], begins=60) == [("raised", 60.0, 1, None)]
    assert watch.score == pytest.approx(0.7 / 0.3 / (0.7 / 0.3 + 0.6 / 0.4))


KINDS: list[dict[str, Any]] = [
    {"raise_at": 0.8, "clear_at": 0.3, "hold_seconds": 1, "cooldown_seconds": 4},
    {"calibrate": "start", "max_per_hour": 3},
    {"kind": "state", "options": ("yes", "no"), "hold_seconds": 2},
    {"kind": "count", "options": ("yes", "no")},
]
SCORES = [NO, YES, YES, UNSURE, NO, NO, YES, NO, NO, NO, YES, YES, YES, NO, NO, NO] * 6


@pytest.mark.parametrize("rules", KINDS)
@pytest.mark.parametrize("until", [0, 2, 11, 70])
def test_a_restored_watch_tells_what_an_undisturbed_one_tells(rules, until):
    undisturbed, before, after = (watch_of(**rules) for _ in range(3))
    before.snooze(3.0)
    undisturbed.snooze(3.0)
    told = see(before, SCORES[:until])
    plain = json.loads(json.dumps(saved_watch(before).plain_values()))
    restore_watch(after, Saved.of_plain(plain, {}))
    assert saved_watch(after).plain_values() == saved_watch(before).plain_values()
    assert told + see(after, SCORES[until:], begins=until) == see(undisturbed, SCORES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("question", "is it not?"),
        ("choice", 2),
        ("choice", True),
        ("usual", [0.1]),
        ("newest", ["a"]),
        ("sent_seconds", [math.inf]),
        ("is_raised", "yes"),
        ("is_met", 1),
        ("num_incidents", -1),
        ("last_seconds", math.nan),
    ],
)
def test_a_damaged_state_is_refused(name, value):
    saved = Saved(values={**saved_watch(watch_of()).values, name: value})
    with pytest.raises(SnapshotError):
        restore_watch(watch_of(), saved)
