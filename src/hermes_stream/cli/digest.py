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
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.looking_back import RecordOptions, looking_back, moment
from hermes_stream.cli.moments import read_moment
from hermes_stream.cli.opening import (
    check_options,
    load,
    open_session,
    open_video,
    prompt_chunks,
    warn_of_damage,
)
from hermes_stream.cli.option_groups import expand_options, options_given, typed_options
from hermes_stream.cli.options import JsonOption, MemoryOptions, ModelOptions, SourceOptions
from hermes_stream.cli.output import clock, print_json, progress_bar, say
from hermes_stream.cli.settings import keeping_line
from hermes_stream.digest.chapters import MAX_CHAPTERS
from hermes_stream.digest.folder import DigestFolder, as_json, in_hand, write_whole

if TYPE_CHECKING:
    from hermes_stream.cli.looking_back import LooksBack
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
    list[str] | None,
    typer.Option(metavar="TEXT", help="Of a file: look for this; may be given several times."),
]
DescribeOption = Annotated[
    str | None, typer.Option(metavar="QUESTION", help="Of a file: asked where a chapter may begin.")
]
SummarizeOption = Annotated[str | None, typer.Option(metavar="QUESTION", help="Of a file: asked at the end.")]
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
    chapters: ChaptersOption = MAX_CHAPTERS

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
    context: typer.Context,
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

    A file is watched once, from its first frame to its last. Of a stream is told what its service recorded:
    no model watches it again, so that options of a model, a memory, tags and questions are refused. With
    --url, --data or --store it is a stream, whatever files there are.
    """
    record, typed = record.typed(context), typed_options(context)
    names_record = (record.url, record.folder, record.store) != (None, None, None)
    # a stream's name may have a dot, too, and what is here its name
    is_there = Path(what).exists() and not typed & {"url", "folder", "store"}
    if is_there or (Path(what).suffix and not names_record):
        is_prompt = "chunk_frames" not in typed
        _of_file(what, out, options, (model, memory, reading), is_prompt=is_prompt, as_json=json)
    else:
        _refuse_idle_options(what, options, (model, memory, reading))
        _tell(_of_stream(what, out, options, record), out, as_json=json)


def _of_file(
    path: str,
    out: Path,
    options: DigestOptions,
    watching: tuple[ModelOptions, MemoryOptions, SourceOptions],
    *,
    is_prompt: bool,
    as_json: bool,
) -> None:
    """Watch the file, tell what was found and which memory watched; ``is_prompt`` as of ``open_stream``."""
    model, memory, reading = watching
    check_options(model, memory)
    first, last = _file_moment(options.begin, "--from"), _file_moment(options.end, "--to")
    source = open_video(path, reading)
    choices = options.choices(source.duration_seconds)
    loaded = load(model)
    source = open_video(path, replace(reading, fps=reading.fps or loaded.card.default_fps))
    warn_of_narrow_model(loaded)
    if is_prompt:  # what is new is to be known soon
        memory = prompt_chunks(memory, loaded, source.fps)
    session = open_session(memory, loaded, guidance_from_questions=False)
    from hermes_stream.digest.watching import DigestMaking

    making = DigestMaking(session=session, choices=choices)
    warn_of_unknown_words(loaded, " ".join((*making.questions, choices.summarize or "")))
    with interruptible() as ending, progress_bar("watching", source.duration_seconds) as move:
        for frame in _between(source, first or 0.0, math.inf if last is None else last):
            making.take(frame)
            move(frame.pts_seconds - source.start_seconds)
    warn_of_damage(source)
    document = DigestFolder(out, in_hand).write(making.finish(path))
    done = f"{session.stats.num_frames} frames watched"
    watched = keeping_line(memory.policy, session.policy.budget_tokens)
    _tell(document | ending.document(done), out, watched, as_json=as_json)
    ending.leave(done)


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


def _refuse_idle_options(
    name: str, options: DigestOptions, watching: tuple[ModelOptions, MemoryOptions, SourceOptions]
) -> None:
    """Refuse what only a file can be asked: a stream's past is told from its record, not watched."""
    asked = replace(options, begin=None, end=None, min_chapter=None, chapters=MAX_CHAPTERS)
    idle = options_given(asked, *watching)
    if idle:
        raise typer.BadParameter(
            f"{name!r} is taken for a stream: there is no such file, or --url, --data or --store say where "
            "its record is. Its past is told from that, no model watches it again. A stream takes --from, "
            "--to, --min-chapter, --chapters, --out, --json, and --url, --key-file, --data or --store. Leave "
            "the others out (what its watches told are its tags), or give a file",
            param_hint=", ".join(idle),
        )


def _of_stream(name: str, out: Path, options: DigestOptions, source: RecordOptions) -> dict[str, Any]:
    """Write what a record has of a stream; its pictures become files of the folder."""
    since = moment(options.begin, "--from") or 0.0
    until = moment(options.end, "--to") or time.time()
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    with looking_back(source) as past:
        document, page = past.report(
            [name],
            since,
            until,
            min_chapter_seconds=options.min_chapter,
            max_chapters=options.chapters,
        )
        own: dict[str, Any] = document["streams"][0]
        _keep_pictures(own, past, out)
        write_whole(out / "digest.html", page())
    write_whole(out / "digest.json", as_json(own))
    return own


def _keep_pictures(document: dict[str, Any], past: LooksBack, out: Path) -> None:
    """Make files of a folder of the pictures that a document names, and name those instead."""
    kept: dict[str, str | None] = {}

    def keep(address: str) -> str | None:
        if address not in kept:
            jpeg, path = past.picture(address), f"pictures/{Path(address).name}"
            kept[address] = None if jpeg is None else path
            if jpeg is not None:
                write_whole(out / path, jpeg)
        return kept[address]

    for kind in ("chapters", "incidents", "events", "answers"):
        for entry in document[kind]:
            if entry["picture"] is not None:
                entry["picture"] = keep(entry["picture"])
    for entry in document["incidents"]:
        entry["pictures"] = [path for one in entry["pictures"] if (path := keep(one)) is not None]


def _tell(document: dict[str, Any], out: Path, watched: str | None = None, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    _print(document)
    if watched is not None:
        say(watched, err=True)
    say(f"{out / 'digest.html'}", err=True)


def _print(document: dict[str, Any]) -> None:
    if document["summary"]:
        say(document["summary"]["text"])
    for one in document["chapters"]:
        span = f"{clock(one['start_seconds'])} to {clock(one['end_seconds'])}"
        say(f"{span:>18}  {one['text'] or ''}".rstrip())
    for tag in document["tags"]:
        spans = ", ".join(f"{clock(a)} to {clock(b)}" for a, b in tag["spans"]) or "never"
        say(f"{tag['text']}: {spans}")
