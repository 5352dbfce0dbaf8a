"""``watches.json``: videos, what is watched for in each, and when it should be told.

One JSON document with a list ``stories``; each has its ``video``, ``duration_seconds``, ``scene`` and a list
``watches`` of standing questions with their truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

from hermes_lab.datasets.entry import Entry
from hermes_stream.errors import AnnotationError
from hermes_stream.synthetic.happenings import Happening
from hermes_stream.synthetic.watch_truths import Tells, WatchTruth

FORMAT = "hermes-watches"
FORMAT_VERSION = 1
_KINDS = ("alert", "state", "count")
_MAX_BYTES = 64 << 20
_ALWAYS_SAID = ("happenings", "watches", "opened_seconds", "seconds", "clear_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedStory:
    """A video, and the standing questions about it.

    Attributes:
        video: its path, as annotated.
        duration_seconds: its length.
        scene: how the camera sees it.
        watches: what is watched for.
    """

    video: str
    duration_seconds: float
    scene: str
    watches: tuple[WatchTruth, ...]


def is_of_watches(path: Path) -> bool:
    """Tell whether a file is one of standing questions; what cannot be read is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return f'"{FORMAT}"' in file.read(256)
    except (OSError, UnicodeDecodeError):
        return False


def write_watches(path: Path, stories: Iterable[WatchedStory]) -> None:
    """Write standing questions with their truth; the same bytes for the same stories.

    Raises:
        AnnotationError: the file cannot be written.
    """
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "stories": [_without_defaults(asdict(one)) for one in stories],
    }
    try:
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be written: {error.strerror}; check permissions and disk space"
        ) from error


def read_watches(path: Path) -> list[WatchedStory]:
    """Read standing questions with their truth.

    Raises:
        AnnotationError: the file cannot be read, or says something else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise AnnotationError(f"{path} has more than {_MAX_BYTES} bytes; give fewer stories a file")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror}; give a file") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is no JSON: {error}; write it with hermes world --watches") from error
    fields = document if isinstance(document, dict) else {}
    entry = Entry(fields, str(path))
    if fields.get("format") != FORMAT or fields.get("format_version") != FORMAT_VERSION:
        raise AnnotationError(
            f"{path} is not of format {FORMAT!r}, version {FORMAT_VERSION}; write it with "
            "hermes world --watches"
        )
    stories = [_story(one) for one in entry.entries("stories")]
    if not any(story.watches for story in stories):
        raise AnnotationError(f"{path} holds no watch; write it with hermes world --watches")
    return stories


def _story(entry: Entry) -> WatchedStory:
    return WatchedStory(
        video=entry.text("video"),
        duration_seconds=entry.seconds("duration_seconds"),
        scene=entry.text("scene", default="still"),
        watches=tuple(_watch(one) for one in entry.entries("watches")),
    )


def _watch(entry: Entry) -> WatchTruth:
    kind, tells = entry.text("kind", default="alert"), entry.text("tells", default="raised")
    if kind not in _KINDS:
        raise entry.wrong("kind", f"one of {', '.join(_KINDS)}")
    if tells not in get_args(Tells):
        raise entry.wrong("tells", f"one of {', '.join(get_args(Tells))}")
    return WatchTruth(
        name=entry.text("name"),
        condition=entry.text("condition"),
        question=entry.text("question"),
        kind=cast(Any, kind),
        tells=cast(Tells, tells),
        happenings=_happenings(entry, "happenings"),
        brief=_happenings(entry, "brief") if entry.has("brief") else (),
        options=entry.texts("options"),
        answer=entry.text("answer", default="") or None,
        also=entry.texts("also"),
        given=entry.text("given", default="") or None,
        keeps_given=entry.is_set("keeps_given"),
        onset=entry.text("onset", default="") or None,
        nth=entry.whole("nth") if entry.has("nth") else None,
        newest_seconds=entry.seconds_if_any("newest_seconds"),
        raise_at=entry.share_if_any("raise_at"),
        hold_seconds=entry.seconds_if_any("hold_seconds") or 0.0,
        clear_at=entry.share_if_any("clear_at"),
        opened_seconds=entry.seconds_if_any("opened_seconds") or 0.0,
    )


def _happenings(entry: Entry, name: str) -> tuple[Happening, ...]:
    return tuple(
        Happening(seconds=one.seconds("seconds"), value=one.text("value", default="") or None)
        for one in entry.entries(name)
    )


def _without_defaults(value: Any) -> Any:
    """Leave out what is empty, but for lists of what happens: that nothing does is the truth."""
    if isinstance(value, list | tuple):
        return [_without_defaults(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_defaults(one)
        for name, one in value.items()
        if one is not None and (name in _ALWAYS_SAID or one not in ((), [], 0.0))
    }
