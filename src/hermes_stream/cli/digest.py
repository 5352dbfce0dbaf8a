"""``hermes digest``: a video file, or a stream's past, in short: chapters, tags, a summary, pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.interruption import interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model
from hermes_stream.cli.looking_back import RecordOptions, as_json, looking_back, moment, write_whole
from hermes_stream.cli.moments import read_moment
from hermes_stream.cli.opening import check_options, load, open_session, open_video, warn_of_damage
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption, MemoryOptions, ModelOptions, SourceOptions
from hermes_stream.cli.output import clock, print_json, progress_bar, say
from hermes_stream.cli.settings import keeping_line

if TYPE_CHECKING:
    from hermes_stream.digest.watching import DigestChoices
    from hermes_stream.video import FileSource
    from hermes_stream.video.frame import Frame

WhatArgument = Annotated[
    str, typer.Argument(metavar="SOURCE|STREAM", help="A video file, or the name of a stream of a service.")
]
OutOption = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for digest.json, digest.html and pictures; it is made.")
]
BeginOption = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Of a file 1:30; of a stream 08:00, 2h (ago), 2026-11-26."),
]
EndOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Likewise.")]
TagOption = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Look for this; may be given several times.")
]
DescribeOption = Annotated[
    str | None, typer.Option(metavar="QUESTION", help="Asked where a chapter may begin.")
]
SummarizeOption = Annotated[str | None, typer.Option(metavar="QUESTION", help="Asked at the end.")]
MinChapterOption = Annotated[
    float | None,
    typer.Option("--min-chapter", metavar="SECONDS", min=0.1, help="Length of a chapter, at least."),
]
ChaptersOption = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Chapters, at most.")]
_SHORTEST_SECONDS, _SHARE = 5.0, 1 / 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestOptions:
    """How a file is summed up."""

    begin: BeginOption = None
    end: EndOption = None
    tag: TagOption = None
    describe: DescribeOption = None
    summarize: SummarizeOption = None
    min_chapter: MinChapterOption = None
    chapters: ChaptersOption = 24

    def choices(self, duration_seconds: float | None) -> DigestChoices:
        """Return how a video of a length is summed up."""
        from hermes_stream.digest.watching import DigestChoices

        usual = max(_SHORTEST_SECONDS, _SHARE * (duration_seconds or 0.0))
        return DigestChoices(
            describe=self.describe,
            tags=tuple(self.tag or ()),
            summarize=self.summarize,
            min_chapter_seconds=self.min_chapter or usual,
            max_chapters=self.chapters,
        )


@expand_options
def digest(
    *,
    what: WhatArgument,
    out: OutOption,
    options: DigestOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    reading: SourceOptions,
    record: RecordOptions,
    json: JsonOption = False,
) -> None:
    """Sum up a video file, or a stream's past, in a folder: digest.json and a page that needs no server.

    A file is watched once, from its first frame to its last. Of a stream is told what its service recorded.
    """
    names_record = (record.url, record.folder, record.store) != (None, None, None)
    # a stream's name may have a dot, too
    if Path(what).exists() or (Path(what).suffix and not names_record):
        document, watched = _of_file(what, out, options, (model, memory, reading))
    else:
        document, watched = _of_stream(what, out, options, record), None
    if json:
        print_json(document)
    else:
        _print(document)
        if watched is not None:
            say(watched, err=True)
        say(f"{out / 'digest.html'}", err=True)


def _of_file(
    path: str,
    out: Path,
    options: DigestOptions,
    watching: tuple[ModelOptions, MemoryOptions, SourceOptions],
) -> tuple[dict[str, Any], str]:
    """Watch the file; return what was found, and which memory watched."""
    model, memory, reading = watching
    check_options(model, memory)
    first, last = _file_moment(options.begin, "--from"), _file_moment(options.end, "--to")
    source = open_video(path, reading)
    choices = options.choices(source.duration_seconds)
    loaded = load(model)
    source = open_video(path, replace(reading, fps=reading.fps or loaded.card.default_fps))
    warn_of_narrow_model(loaded)
    chunk = max(1, round(source.fps or 1))  # a second: what is new is to be known soon
    session = open_session(replace(memory, chunk_frames=chunk), loaded, guidance_from_questions=False)
    from hermes_stream.digest.folder import DigestFolder, in_hand
    from hermes_stream.digest.watching import DigestMaking

    making = DigestMaking(session=session, choices=choices)
    with interruptible() as ending, progress_bar("watching", source.duration_seconds) as move:
        for frame in _between(source, first or 0.0, math.inf if last is None else last):
            making.take(frame)
            move(frame.pts_seconds - source.start_seconds)
    warn_of_damage(source)
    document = DigestFolder(out, in_hand).write(making.finish(path))
    done = f"{session.stats.num_frames} frames watched"
    ending.leave(done)
    return document | ending.document(done), keeping_line(memory.policy, session.policy.budget_tokens)


def _between(source: FileSource, first: float, last: float) -> Iterator[Frame]:
    for frame in source:
        seconds = frame.pts_seconds - source.start_seconds
        if seconds > last:
            return
        if seconds >= first:
            yield frame


def _file_moment(text: str | None, option: str) -> float | None:
    try:
        return None if text is None else read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _of_stream(name: str, out: Path, options: DigestOptions, source: RecordOptions) -> dict[str, Any]:
    """Write what a record has of a stream; its pictures become files of the folder."""
    since = moment(options.begin, "--from") or 0.0
    until = moment(options.end, "--to") or time.time()
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    with looking_back(source) as past:
        document, page = past.report([name], since, until)
        own: dict[str, Any] = document["streams"][0]
        for entry in [*own["chapters"], *own["incidents"], *own["events"], *own["answers"]]:
            if entry["picture"] is not None:
                jpeg = past.picture(entry["picture"])
                kept = f"pictures/{Path(entry['picture']).name}"
                entry["picture"] = None if jpeg is None else kept
                if jpeg is not None:
                    write_whole(out / kept, jpeg)
        write_whole(out / "digest.html", page())
    write_whole(out / "digest.json", as_json(own))
    return own


def _print(document: dict[str, Any]) -> None:
    if document["summary"]:
        say(document["summary"]["text"])
    for one in document["chapters"]:
        span = f"{clock(one['start_seconds'])} to {clock(one['end_seconds'])}"
        say(f"{span:>18}  {one['text'] or ''}".rstrip())
    for tag in document["tags"]:
        spans = ", ".join(f"{clock(a)} to {clock(b)}" for a, b in tag["spans"]) or "never"
        say(f"{tag['text']}: {spans}")
