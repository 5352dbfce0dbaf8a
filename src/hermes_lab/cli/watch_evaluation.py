"""``hermes eval watches.json``: standing questions over videos, and what they told against what was due."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.cli.evaluation_options import ScoringOptions, ViewingOptions
from hermes_lab.cli.evaluation_run import machine_of
from hermes_lab.cli.progress import video_progress
from hermes_lab.cli.stopping import goes_on_later
from hermes_stream.cli.machine import versions
from hermes_stream.cli.opening import check_options, load, mute_log, open_session
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import print_json, say, with_schema
from hermes_stream.cli.settings import keeping_line

if TYPE_CHECKING:
    from hermes_lab.datasets.watch_annotations import WatchedStory
    from hermes_lab.evaluation.watched_events import StoryEvents

SCORES, EVENTS = "scores.json", "events.json"
_COLUMNS = ("f1", "precision", "recall", "false_alarms_per_hour")


def evaluate_watches(
    annotations: Path,
    videos: Path,
    model: ModelOptions,
    memory: MemoryOptions,
    *,
    viewing: ViewingOptions,
    scoring: ScoringOptions,
    keeps_chunks: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Watch all stories, score what was told, and print one document.

    Args:
        annotations: ``watches.json``.
        videos: where its videos are.
        model: which model watches.
        memory: what it keeps.
        viewing: how videos are watched.
        scoring: has the seed of intervals.
        keeps_chunks: take chunks of as many frames as the memory's options say, and not of a second.
        out: where stories that were watched, scores and events are kept; None keeps none.
        as_json: print one JSON document.
    """
    from hermes_lab.datasets import VideoFinder
    from hermes_lab.datasets.watch_annotations import read_watches
    from hermes_lab.evaluation.watched_events import BASELINES

    check_options(model, memory)
    mute_log()
    stories = read_watches(annotations)[: viewing.limit]
    finder = VideoFinder(videos)
    files = {story.video: finder.find(story.video) for story in stories}
    began = time.perf_counter()
    with goes_on_later(out, as_json=as_json):
        seen, how = _watch(stories, files, model, memory, viewing=viewing, keeps_chunks=keeps_chunks, out=out)
    document = {
        **_scores(seen, None, scoring.seed),
        "baselines": {name: _scores(seen, name, scoring.seed) for name in BASELINES},
        "cost": _cost(seen),
        "annotations": str(annotations),
        "videos": str(videos),
        "seed": scoring.seed,
        "num_stories": len(seen),
        **how,
    }
    if out is not None:
        _store(out, document, seen)
    if as_json:
        print_json(document | {"took_seconds": round(time.perf_counter() - began, 3)})
    else:
        _print(document)


def _watch(
    stories: list[WatchedStory],
    files: Mapping[str, Path],
    model: ModelOptions,
    memory: MemoryOptions,
    *,
    viewing: ViewingOptions,
    keeps_chunks: bool,
    out: Path | None,
) -> tuple[list[StoryEvents], dict[str, Any]]:
    """Watch each story with a session of its own; return what was told, and how it was watched.

    What was watched by an earlier run of the same folder is not watched again.
    """
    from hermes_lab.evaluation.watched_events import watch_story
    from hermes_lab.evaluation.watched_stories import WatchedStories
    from hermes_stream.video import FileSource

    loaded = load(model)
    fps = viewing.fps or loaded.card.default_fps
    if not keeps_chunks:
        # a watch is as old as its chunk
        memory = replace(memory, chunk_frames=loaded.card.frames_of_a_second(fps))
    session = open_session(memory, loaded)
    settings = {
        "model": model.model,
        "dtype": str(loaded.layout.dtype).removeprefix("torch."),
        "weights": model.weights,
        "fps": fps,
        **asdict(memory),
        "budget_tokens": session.policy.budget_tokens,
        "chunk_frames": session.chunk_frames,
        "policy_fields": str(session.policy),
    }
    seen, kept = [], WatchedStories(out)
    with kept.going_on(settings), video_progress(len(stories), shows_lines=False) as move:
        for number, story in enumerate(stories):
            if (found := kept.find(story)) is not None:
                seen.append(found)
                move(number + 1.0)
                continue
            session = open_session(memory, loaded)
            source = FileSource(files[story.video], fps=fps)

            def show(seconds: float, number: int = number, story: WatchedStory = story) -> None:
                move(number + min(seconds / story.duration_seconds, 1.0))

            seen.append(watch_story(session, source, story, on_frame=show))
            kept.add(seen[-1])
    return seen, settings | {
        "versions": versions(),
        "machine": machine_of(str(loaded.layout.device), 1),
    }


def _scores(seen: list[StoryEvents], baseline: str | None, seed: int) -> dict[str, Any]:
    from hermes_lab.evaluation.event_matching import TOLERANCE_SECONDS
    from hermes_lab.evaluation.watch_scores import scores

    outcomes = [outcome for one in seen for outcome in one.outcomes(baseline)]
    found = scores(outcomes, seed=seed)
    return found if baseline else found | {"tolerance_seconds": TOLERANCE_SECONDS}


def _cost(seen: list[StoryEvents]) -> dict[str, Any]:
    """Return what looks took, over all stories."""
    asked = [sum(map(len, one.looks.values())) for one in seen]
    took = [one.milliseconds_each or 0.0 for one in seen]
    num_asked = sum(asked)
    spent = sum(count * each for count, each in zip(asked, took, strict=True))
    return {
        "num_asked": num_asked,
        "num_skipped": sum(one.num_skipped for one in seen),
        "milliseconds_each": spent / num_asked if num_asked else None,
        "share": sum(one.share for one in seen) / len(seen),
    }


def _store(out: Path, document: Mapping[str, Any], seen: list[StoryEvents]) -> None:
    """Keep the scores, and what each watch told."""
    from hermes_lab.cli.folder import written
    from hermes_lab.evaluation.run_files import replace_file

    events = {
        one.story.video: {
            name: [{"seconds": event.seconds, "value": event.value} for event in told]
            for name, told in one.told.items()
        }
        for one in seen
    }
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / EVENTS, dumps(events, indent=1, allow_nan=False) + "\n")
        replace_file(out / SCORES, dumps(with_schema(document), indent=1, allow_nan=False) + "\n")


def _print(document: Mapping[str, Any]) -> None:
    say(f"{'':16}{'F1':>7}{'prec.':>7}{'recall':>7}{'false/h':>9}{'delay, median and 95 %':>26}")
    rows = {"all": document, **document["by_condition"]}
    rows |= {f"({name})": own for name, own in document["baselines"].items()}
    for name, own in rows.items():
        numbers = [own[column] for column in _COLUMNS]
        f1, precision, recall, false = ("-" if one is None else f"{one:.2f}" for one in numbers)
        delay = own["delay_seconds"]
        late = "-" if delay["median"] is None else f"{delay['median']:.1f} s, {delay['p95']:.1f} s"
        say(f"{name:16}{f1:>7}{precision:>7}{recall:>7}{false:>9}{late:>26}")
    cost = document["cost"]
    if cost["num_asked"]:
        say(
            f"{cost['num_asked']} looks, {cost['milliseconds_each']:.2f} ms each, "
            f"{100 * cost['share']:.0f} % of the work; {cost['num_skipped']} skipped"
        )
    say(keeping_line(document["policy"], document["budget_tokens"]))
