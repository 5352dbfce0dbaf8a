"""The folder of a run over standing questions: a line for each story, so that it goes on after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, final

from hermes_lab.datasets.files import read_json
from hermes_lab.datasets.watch_annotations import WatchedStory
from hermes_lab.evaluation.event_matching import Told
from hermes_lab.evaluation.run_files import append_lines, replace_file, unwritable, whole_lines
from hermes_lab.evaluation.watched_events import StoryEvents
from hermes_lab.evaluation.writer_lock import only_writer
from hermes_stream.errors import AnnotationError

STORIES, MANIFEST = "stories.jsonl", "manifest.json"
_LOCK = ".writer.lock"
_EVENTS = ("told", "looks", "changed_seconds", "ended_seconds", "num_skipped", "milliseconds_each", "share")


@final
class WatchedStories:
    """What was told of each story that was watched to its end.

    Args:
        folder: where lines are kept; made where it is missing. None keeps none.

    Raises:
        AnnotationError: the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._found: dict[str, Mapping[str, Any]] = {}
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(folder, error) from error

    @contextmanager
    def going_on(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Be the only program that writes, and go on with what is there.

        Args:
            settings: all that may change what is told, as JSON takes it.

        Raises:
            AnnotationError: another program writes, a run with other settings is there, or a file cannot be
                read or written.
        """
        if self._folder is None:
            yield
            return
        with only_writer(self._folder / _LOCK):
            self._check(self._folder / MANIFEST, json.loads(json.dumps(settings)))
            path = self._folder / STORIES
            if path.exists():
                lines = whole_lines(path)
                # a last line that was cut short would spoil the next one
                replace_file(path, "".join(json.dumps(line) + "\n" for line in lines))
                self._found = {line["digest"]: line for line in lines}
            yield

    def _check(self, path: Path, settings: dict[str, Any]) -> None:
        if not path.exists():
            replace_file(path, json.dumps(settings, indent=1) + "\n")
            return
        held = read_json(path)
        held = held if isinstance(held, dict) else {}
        other = [name for name in sorted({*held, *settings}) if held.get(name) != settings.get(name)]
        if other:
            said = "; ".join(
                f"{one} is {held.get(one)!r} there and {settings.get(one)!r} here" for one in other
            )
            raise AnnotationError(
                f"{path.parent} holds a run with other settings: {said}; give another folder, or the same "
                "settings to go on with it"
            )

    def find(self, story: WatchedStory) -> StoryEvents | None:
        """Return what was told of a story; None where it was not watched to its end.

        Raises:
            AnnotationError: its line is not as it was written.
        """
        line = self._found.get(digest_of(story))
        if line is None:
            return None
        try:
            told = {
                name: tuple(Told(seconds=one["seconds"], value=one["value"]) for one in events)
                for name, events in line["told"].items()
            }
            looks = {name: tuple(seconds) for name, seconds in line["looks"].items()}
            rest = {name: line[name] for name in _EVENTS[3:]}
            changed = tuple(line["changed_seconds"])
            return StoryEvents(story=story, told=told, looks=looks, changed_seconds=changed, **rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise AnnotationError(
                f"{STORIES} does not say all of {story.video}: {error!r}; remove the file, and start again"
            ) from error

    def add(self, seen: StoryEvents) -> None:
        """Keep what was told of a story.

        Raises:
            AnnotationError: it cannot be written.
        """
        if self._folder is None:
            return
        fields = asdict(seen)
        line = {"video": seen.story.video, "digest": digest_of(seen.story)}
        append_lines(self._folder / STORIES, [line | {name: fields[name] for name in _EVENTS}])


def digest_of(story: WatchedStory) -> str:
    """Return a digest that changes with the video's name, and with what is watched for."""
    return sha256(repr(story).encode()).hexdigest()[:16]
