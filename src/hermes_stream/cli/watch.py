"""``hermes watch``: a camera, a stream or a file, live in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hermes_stream.cli.interruption import interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.opening import check_options, load, mute_log
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import FpsOption, JsonOption, MaxNewTokensOption, MemoryOptions, ModelOptions
from hermes_stream.cli.serving import missing_server

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel
    from hermes_stream.service import Service
    from hermes_stream.video.sources.source import Source

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="rtsp://..., http://... (HLS, MJPEG, MPEG-TS), udp://..., tcp://..., /dev/video0, screen:, or a "
        "file, which is played at its own pace.",
    ),
]
AskOption = Annotated[
    list[str] | None,
    typer.Option("--ask", metavar="QUESTION", help="Asked again and again; may be given several times."),
]
EveryOption = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How often the questions are asked.")
]
PaceOption = Annotated[
    Literal["own", "fast"], typer.Option(help="Of a file: as it was recorded, or as fast as it can be read.")
]
TransportOption = Annotated[Literal["tcp", "udp"], typer.Option(help="How RTSP sends pictures.")]
KeepOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Keep the record and the memory in this folder, and go on there."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """How a source is read; the fields are those of ``hermes_stream.video.SourceOptions``."""

    fps: FpsOption = None
    pace: PaceOption = "own"
    transport: TransportOption = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions:
    """What is asked while a source is watched."""

    ask: AskOption = None
    every: EveryOption = 5.0
    max_new_tokens: MaxNewTokensOption = None


@expand_options
def watch(
    *,
    source: SourceArgument,
    asking: AskOptions,
    reading: LiveOptions,
    folder: KeepOption = None,
    model: ModelOptions,
    memory: MemoryOptions,
    json: JsonOption = False,
) -> None:
    """Watch a camera, a stream or a file, and show what becomes of it: its state, lag, memory, and answers.

    A camera that is lost is opened again, for ever; Ctrl-C ends. Under --json every answer and every event is
    a line of its own, a JSON document, and the last line is about the whole.
    """
    check_options(model, memory)
    opened = _open(source, reading)
    loaded = load(model)
    mute_log()
    if reading.fps is None:  # the rate of the model is known only now
        reading = replace(reading, fps=loaded.card.default_fps)
        opened = _open(source, reading)
    warn_of_narrow_model(loaded)
    questions = tuple(asking.ask or ())
    for question in questions:
        warn_of_unknown_words(loaded, question)
    from hermes_stream.cli.watching import NAME, Watching

    with _service(loaded, folder, memory) as service, interruptible() as ending:
        service.open_stream(NAME, opened, fps=reading.fps)
        watching = Watching(service, questions, every_seconds=asking.every, as_json=json)
        with watching.shown():
            watching.run(max_new_tokens=asking.max_new_tokens)
    watching.conclude(ending.document(watching.done))
    ending.leave(watching.done)
    if watching.has_failed:
        raise typer.Exit(1)


def _open(address: str, reading: LiveOptions) -> Source:
    from hermes_stream.video import open_source
    from hermes_stream.video.sources.options import SourceOptions

    return open_source(address, SourceOptions(**asdict(reading)))


@contextmanager
def _service(model: VideoModel, folder: Path | None, memory: MemoryOptions) -> Iterator[Service]:
    """Run a service for this one stream, whose record is thrown away unless it is to be kept."""
    try:
        from hermes_stream.service import Service, ServiceSettings
    except ModuleNotFoundError as error:
        raise missing_server(error) from error
    options = asdict(memory)
    if folder is not None:
        with Service(model, folder, settings=ServiceSettings(**options)) as service:
            yield service
        return
    with TemporaryDirectory(prefix="hermes-") as temporary:
        settings = ServiceSettings(**options, journal=False, pictures="none")
        with Service(model, temporary, settings=settings) as service:
            yield service
