"""False alarms while nothing happens for long, from stored runs: an empty wall, and the dark.

    hermes world --watches --seed 99800 --streams 5 --seconds 600 --dark-seconds 60 540 --scene all --fps 1 \\
        --size 144 --out dark
    hermes eval dark/watches.json --videos dark --out run-dark
    python results/watch_stretches.py dark=run-dark --stretch 60 540 --out results/watches_stretches.json

With ``--empty-seconds`` the light stays on. What was told in the stretch is scored apart: of what is due from
two seconds before it, and told in it. Each false alarm is named.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from watch_policies import outcome

from hermes_lab.datasets.watch_annotations import WatchedStory, read_watches
from hermes_lab.evaluation.event_matching import TOLERANCE_SECONDS, Matching, Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome, scores
from hermes_lab.evaluation.watched_events import as_told
from hermes_stream.synthetic.watch_truths import WatchTruth

Document = dict[str, Any]
Stretch = tuple[float, float]
_OF_WHOLE = (
    *("model", "policy", "fps", "budget_tokens", "num_stories", "num_watches", "watch_hours", "f1"),
    *("false_alarms_per_hour", "num_false", "num_due", "num_right", "intervals", "versions", "machine"),
)
_OF_STRETCH = ("num_watches", "watch_hours", "false_alarms_per_hour", "num_false")


def within(truth: WatchTruth, told: list[Told], stretch: Stretch) -> tuple[list[Told], list[Told], Matching]:
    """Return what is due about a stretch, what was told in it, and what became of both."""
    start, end = stretch
    due = [one for one in as_told(truth.happenings) if start - TOLERANCE_SECONDS <= one.seconds < end]
    told = [one for one in told if start <= one.seconds < end]
    return due, told, match_events(due, told, optional=as_told(truth.brief))


def outcomes(stories: list[WatchedStory], events: Document, stretch: Stretch) -> list[WatchOutcome]:
    """Return what became of each watch in the stretch; one that is opened later is left out."""
    start, end = stretch
    return [
        outcome(
            story,
            watch,
            within(watch, told, stretch)[2],
            watched_seconds=end - max(start, watch.opened_seconds),
        )
        for story in stories
        for watch in story.watches
        if watch.opened_seconds < end
        for told in [[Told(**one) for one in events[story.video][watch.name]]]
    ]


def false_ones(stories: list[WatchedStory], events: Document, stretch: Stretch) -> list[Document]:
    """Name what was told in a stretch by watches that told more there than was due."""
    named = []
    for story in stories:
        for watch in story.watches:
            told = [Told(**one) for one in events[story.video][watch.name]]
            due, told, matching = within(watch, told, stretch)
            if matching.num_false:
                own = {"story": story.video, "watch": watch.name, "due": [one.seconds for one in due]}
                named.append(own | {"told": [[one.seconds, one.value] for one in told]})
    return named


def of_stretch(scored: Document) -> Document:
    """Keep what means something where hardly anything is due."""
    found = {name: scored[name] for name in _OF_STRETCH}
    interval = (scored["intervals"] or {}).get("false_alarms_per_hour")
    return found | {"interval": interval}


def measured(run: Path, stretch: Stretch) -> Document:
    """Return the scores of a run, and those of its stretch."""
    stored = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    events = json.loads((run / "events.json").read_text(encoding="utf-8"))
    stories = [one for one in read_watches(Path(stored["annotations"])) if one.video in events]
    own = scores(outcomes(stories, events, stretch))
    by = {
        part: {name: of_stretch(one) for name, one in own[part].items()}
        for part in ("by_condition", "by_scene")
    }
    return {
        "whole": {name: stored[name] for name in _OF_WHOLE}
        | {"f1_by_condition": {name: one["f1"] for name, one in stored["by_condition"].items()}},
        "stretch": of_stretch(own) | by,
        "false": false_ones(stories, events, stretch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="NAME=FOLDER")
    parser.add_argument("--stretch", nargs=2, type=float, metavar=("FROM", "UNTIL"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found: Document = {
        "command": f"python {shlex.join(sys.argv)}",
        "stretch_seconds": given.stretch,
        "runs": {},
    }
    for named in given.runs:
        name, _, folder = named.rpartition("=")
        found["runs"][name] = own = measured(Path(folder), tuple(given.stretch))
        stretch, whole = own["stretch"], own["whole"]
        sys.stdout.write(
            f"{name}: {stretch['false_alarms_per_hour']:.2f} {stretch['interval']} false an hour in it, "
            f"F1 {whole['f1']:.3f} of all\n"
        )
        for condition, one in stretch["by_condition"].items():
            sys.stdout.write(f"  {condition:14} {one['false_alarms_per_hour']:.2f}\n")
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
