"""What a file of annotations holds, without a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hermes_stream.cli.output import print_json, say


def print_check(annotations: Path, videos: Path | None, *, as_json: bool) -> None:
    """Read annotations, and print what is in them and what is odd.

    Args:
        annotations: a file, or a folder of files.
        videos: where videos are looked for; None looks for none.
        as_json: print one JSON document.
    """
    from hermes_lab.datasets import read_annotations

    read = read_annotations(annotations)
    missing = _missing([one.video for one in read.episodes if one.video], videos)
    found: dict[str, object] = {
        "annotations": str(annotations),
        "dialect": read.dialect,
        "num_videos": read.num_videos,
        "num_items": read.num_items,
        "num_questions": read.num_questions,
        "tasks": read.tasks,
        "oddities": list(read.oddities),
        "files_left_out": list(read.files_left_out),
        "missing_videos": missing,
    }
    if as_json:
        print_json(found)
        return
    for name in ("dialect", "num_videos", "num_items", "num_questions"):
        say(f"{name} {found[name]}")
    say("tasks")
    for task, count in read.tasks.items():
        say(f"  {count:6} {task}")
    say(f"oddities {len(read.oddities)}")
    for odd in read.oddities:
        say(f"  {odd}")
    for told in read.files_left_out:
        say(f"left out {told}")
    if missing is not None:
        say(f"missing_videos {len(missing)}")
        for video in missing:
            say(f"  {video}")


def print_watches(annotations: Path, *, as_json: bool) -> None:
    """Read standing questions, and print what is in them.

    Args:
        annotations: a file.
        as_json: print one JSON document.
    """
    from hermes_lab.datasets.watch_annotations import read_watches

    stories = read_watches(annotations)
    watches = [watch for story in stories for watch in story.watches]
    conditions = Counter(watch.condition for watch in watches)
    found: dict[str, object] = {
        "annotations": str(annotations),
        "dialect": "watches",
        "num_videos": len(stories),
        "num_watches": len(watches),
        "num_events": sum(len(watch.happenings) for watch in watches),
        "num_never": sum(not watch.happenings for watch in watches),
        "conditions": dict(conditions),
    }
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name != "conditions":
            say(f"{name} {value}")
    for condition, count in conditions.items():
        say(f"  {count:6} {condition}")


def _missing(annotated: list[str], folder: Path | None) -> list[str] | None:
    from hermes_lab.datasets import VideoFinder
    from hermes_stream.errors import AnnotationError

    if folder is None:
        return None
    finder, missing = VideoFinder(folder), []
    for video in dict.fromkeys(annotated):
        try:
            finder.find(video)
        except AnnotationError:
            missing.append(video)
    return missing
