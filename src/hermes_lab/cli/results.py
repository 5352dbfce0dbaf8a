"""The scores of evaluations and comparisons as JSON documents take them: one form for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes_lab.evaluation import Graded, Report, Score
    from hermes_lab.evaluation.comparison_scores import PolicyScores
    from hermes_lab.evaluation.scoring import DelayScore

_NO_SCORE = {
    "accuracy": None,
    "low": None,
    "high": None,
    "chance": None,
    "num_questions": 0,
    "no_interval": "there is nothing to score",
}


def run_scores(graded: Graded, *, seed: int) -> dict[str, Any]:
    """Return the scores of one run.

    Args:
        graded: all its answers.
        seed: of the intervals.
    """
    from hermes_lab.evaluation import score
    from hermes_lab.evaluation.predictions import first_token_seconds

    found: dict[str, Any] = {
        "num_videos": len({one.video for one in graded.predictions}),
        "num_unscored": len(graded.unscored),
        "num_unreadable": len(graded.unreadable),
        "averages": rounded(graded.averages),
    }
    if graded.proactive is not None:
        found["proactive"] = asdict(graded.proactive)
    if not graded.scored:
        return found | _NO_SCORE | {"accuracy_by_kind": {}, "accuracy_by_group": {}, "ttft_seconds": None}
    report = score(graded.scored, rights=graded.rights, seed=seed)
    first = first_token_seconds(graded.predictions)
    ttft_seconds = median(first) if first else None
    return rounded(found | _report(report, is_compared=False) | {"ttft_seconds": ttft_seconds})


def policy_scores(own: PolicyScores) -> dict[str, Any]:
    """Return the scores of one policy of a comparison."""
    found: dict[str, Any] = {}
    for field in fields(own):
        value = getattr(own, field.name)
        found |= _report(value, is_compared=True) if field.name == "report" else {field.name: value}
    return rounded(found)


def rounded(value: Any) -> Any:
    """Round all floats of a document to six places."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(own) for key, own in value.items()}
    return [rounded(own) for own in value] if isinstance(value, list | tuple) else value


def _report(report: Report, *, is_compared: bool) -> dict[str, Any]:
    def plain(own: Score) -> dict[str, Any]:
        found = asdict(own)
        del found["num_videos"]
        if not is_compared:
            del found["difference"]
        if own.no_interval is not None:
            for part in (found, found.get("difference")):
                if part is not None:
                    part |= {"low": None, "high": None}
        return found | {"no_interval": own.no_interval}

    def by_delay(scores: Sequence[DelayScore]) -> list[dict[str, Any]]:
        return [
            {"from_seconds": one.from_seconds, "until_seconds": one.until_seconds, **plain(one.score)}
            for one in scores
        ]

    return {
        **plain(report.overall),
        "accuracy_by_kind": {kind: plain(own) for kind, own in report.by_kind.items()},
        "accuracy_by_group": {group: plain(own) for group, own in report.by_group.items()},
        "accuracy_by_delay": {
            "overall": by_delay(report.by_delay),
            "by_kind": {kind: by_delay(own) for kind, own in report.by_delay_of_kind.items()},
            "by_group": {group: by_delay(own) for group, own in report.by_delay_of_group.items()},
        },
    }
