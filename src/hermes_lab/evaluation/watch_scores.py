"""Scores of standing questions: precision, recall, F1, delay, false alarms; with intervals over stories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hermes_lab.evaluation.bootstrap import MIN_VIDEOS, NUM_RESAMPLES
from hermes_lab.evaluation.event_matching import Matching

_HOUR = 3600.0
_PERCENTILES = (2.5, 97.5)
_INTERVALS = ("precision", "recall", "f1", "false_alarms_per_hour")

Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOutcome:
    """What became of one watch of one story.

    Attributes:
        story: which story.
        scene: how the camera saw it.
        condition: what was waited for.
        comes: whether it came at all.
        matching: events against truth.
        watched_seconds: for how long it was watched.
        num_polls: how often it was asked.
    """

    story: str
    scene: str
    condition: str
    comes: bool
    matching: Matching
    watched_seconds: float
    num_polls: int


def scores(outcomes: Sequence[WatchOutcome], *, seed: int = 0) -> dict[str, Any]:
    """Return the scores of all watches together, by condition, and by scene.

    Args:
        outcomes: of watches, at least one.
        seed: of the bootstrap, which draws whole stories.
    """
    return {
        **_scored(outcomes, seed),
        "by_condition": _by(outcomes, lambda one: one.condition, seed),
        "by_scene": _by(outcomes, lambda one: one.scene, seed),
        "never_comes": _scored([one for one in outcomes if not one.comes], seed, has_truths=False),
    }


def f1_difference(
    outcomes: Sequence[WatchOutcome], others: Sequence[WatchOutcome], *, seed: int = 0
) -> dict[str, float | None]:
    """Return by how much F1 exceeds that of others on the same watches, with its interval over stories."""
    stories = sorted({one.story for one in outcomes} & {one.story for one in others})
    own, other = (_sums(group, stories) for group in (outcomes, others))
    value = float(_f1(own.sum(0)) - _f1(other.sum(0)))
    if len(stories) < MIN_VIDEOS:
        return {"value": value, "low": None, "high": None}
    drawn = _draws(len(stories), seed)
    low, high = np.percentile(_f1(drawn @ own) - _f1(drawn @ other), _PERCENTILES).tolist()
    return {"value": value, "low": low, "high": high}


def _by(
    outcomes: Sequence[WatchOutcome], key: Callable[[WatchOutcome], str], seed: int
) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys(map(key, outcomes))
    return {name: _scored([one for one in outcomes if key(one) == name], seed) for name in names}


def _scored(outcomes: Sequence[WatchOutcome], seed: int, *, has_truths: bool = True) -> dict[str, Any]:
    stories = sorted({one.story for one in outcomes})
    by_story = _sums(outcomes, stories)
    total = by_story.sum(0)
    right, missed, false, hours = total.tolist()
    num_told = int(right + false)
    found: dict[str, Any] = {
        "num_watches": len(outcomes),
        "watch_hours": hours,
        "false_alarms_per_hour": _value(_rate(total)),
        "num_false": int(false),
    }
    if has_truths:
        found |= {
            "precision": _value(_precision(total)),
            "recall": _value(_recall(total)),
            "f1": _value(_f1(total)),
            "delay_seconds": _delay(outcomes),
            "num_due": int(right + missed),
            "num_right": int(right),
            "num_early": sum(one.matching.num_early for one in outcomes),
            "num_late": sum(one.matching.num_late for one in outcomes),
            "num_invented": sum(one.matching.num_invented for one in outcomes),
            "polls_per_event": sum(one.num_polls for one in outcomes) / num_told if num_told else None,
        }
    found["intervals"] = _intervals(by_story, seed, [name for name in _INTERVALS if name in found])
    return found


def _sums(outcomes: Iterable[WatchOutcome], stories: Sequence[str]) -> Sums:
    """Return right, missed, false and hours of each story ``[stories, 4]``."""
    sums = np.zeros((len(stories), 4))
    row = {story: number for number, story in enumerate(stories)}
    for one in outcomes:
        if one.story in row:
            own = one.matching
            hours = one.watched_seconds / _HOUR
            sums[row[one.story]] += (own.num_right, own.num_missed, own.num_false, hours)
    return sums


def _delay(outcomes: Sequence[WatchOutcome]) -> dict[str, float | None]:
    delays = [delay for one in outcomes for delay in one.matching.delays_seconds]
    if not delays:
        return {"median": None, "p95": None}
    median, late = np.percentile(delays, [50, 95]).tolist()
    return {"median": median, "p95": late}


def _intervals(by_story: Sums, seed: int, names: Sequence[str]) -> dict[str, list[float]] | None:
    """Return intervals of scores; None where there are too few stories for any."""
    if len(by_story) < MIN_VIDEOS:
        return None
    drawn = _draws(len(by_story), seed) @ by_story
    found = {}
    for name in names:
        values = _SCORES[name](drawn)
        values = values[np.isfinite(values)]
        if len(values):
            found[name] = np.percentile(values, _PERCENTILES).tolist()
    return found


def _draws(num_stories: int, seed: int) -> NDArray[np.int64]:
    even = np.full(num_stories, 1 / num_stories)
    return np.random.default_rng(seed).multinomial(num_stories, even, size=NUM_RESAMPLES)


def _ratio(part: Any, whole: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _precision(sums: Sums) -> Any:
    return _ratio(sums[..., 0], sums[..., 0] + sums[..., 2])


def _recall(sums: Sums) -> Any:
    return _ratio(sums[..., 0], sums[..., 0] + sums[..., 1])


def _f1(sums: Sums) -> Any:
    return _ratio(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2])


def _rate(sums: Sums) -> Any:
    return _ratio(sums[..., 2], sums[..., 3])


def _value(number: Any) -> float | None:
    """Return a score; None where there was nothing to score."""
    return float(number) if np.isfinite(number) else None


_SCORES: dict[str, Callable[[Sums], Any]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "false_alarms_per_hour": _rate,
}
