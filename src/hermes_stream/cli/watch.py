"""``hermes watch``: a camera, a stream or a file, live in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hermes_stream.cli.interruption import interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.opening import check_options, load, mute_log, prompt_chunks
from hermes_stream.cli.option_groups import expand_options, typed_options
from hermes_stream.cli.options import FpsOption, JsonOption, MaxNewTokensOption, MemoryOptions, ModelOptions
from hermes_stream.cli.serving import missing_server
from hermes_stream.cli.standing_options import RecipeOption, StandingOptions, typed_watches

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel
    from hermes_stream.service import Service
    from hermes_stream.service.watch_settings import WatchSettings
    from hermes_stream.video.sources.options import SourceOptions

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
def watch(  # noqa: PLR0913 - one parameter per choice
    *,
    context: typer.Context,
    source: SourceArgument,
    asking: AskOptions,
    standing: StandingOptions,
    recipe: RecipeOption = None,
    reading: LiveOptions,
    folder: KeepOption = None,
    model: ModelOptions,
    memory: MemoryOptions,
    json: JsonOption = False,
) -> None:
    """Watch a camera, a stream or a file, and show what becomes of it: its state, lag, memory, and answers.

    A camera that is lost is opened again, for ever; Ctrl-C ends. With --alert, --state, --count or --describe
    a question is asked after each second by itself, and its answer is told when it changes. Under --json
    every answer and every event is a line of its own, a JSON document, and the last line is about the whole.
    """
    check_options(model, memory)
    watches, typed = _watches(standing), typed_options(context)
    if recipe is not None:
        asked, model, memory, reading = _of_recipe(recipe, model, memory, reading, typed=typed)
        watches = (*asked, *watches)
    options = _check_source(source, reading)
    loaded = load(model)
    mute_log()
    if reading.fps is None:  # the rate of the model is known only now
        reading = replace(reading, fps=loaded.card.default_fps)
    warn_of_narrow_model(loaded)
    questions = tuple(asking.ask or ())
    for question in (*questions, *(one.question for one in watches)):
        warn_of_unknown_words(loaded, question)
    if watches and "chunk_frames" not in typed:
        memory = prompt_chunks(memory, loaded, reading.fps)
    from hermes_stream.cli.watching import NAME, Watching

    with _service(loaded, folder, memory) as service, interruptible() as ending:
        service.open_stream(NAME, source, source_options=options, fps=reading.fps)
        _ask_alone(service, watches)
        watching = Watching(service, questions, every_seconds=asking.every, as_json=json)
        with watching.shown():
            watching.run(max_new_tokens=asking.max_new_tokens)
    watching.conclude(ending.document(watching.done))
    ending.leave(watching.done)
    if watching.has_failed:
        raise typer.Exit(1)


def _ask_alone(service: Service, watches: tuple[WatchSettings, ...]) -> None:
    """Ask these watches, and none that a folder holds from an earlier time."""
    from hermes_stream.cli.watching import NAME

    wanted = {one.label for one in watches}
    for old in service.watches.of_stream(NAME):
        if old.settings.label not in wanted:
            service.watches.remove(NAME, old.id)
    for one in watches:
        service.watches.put(NAME, one)


def _watches(options: StandingOptions) -> tuple[WatchSettings, ...]:
    try:
        return typed_watches(options)
    except ModuleNotFoundError as error:
        raise missing_server(error) from error


def _of_recipe(
    name: str, model: ModelOptions, memory: MemoryOptions, reading: LiveOptions, *, typed: frozenset[str]
) -> tuple[tuple[WatchSettings, ...], ModelOptions, MemoryOptions, LiveOptions]:
    """Return a recipe's watches and settings with what was typed; what was typed holds."""
    from hermes_stream.recipes import recipe
    from hermes_stream.service.settings import ServiceSettings, StartSettings
    from hermes_stream.service.settings_files import read_settings

    start, service = read_settings((StartSettings, ServiceSettings), base=recipe(name).path)
    own = {one.name for one in fields(MemoryOptions)} & service.model_fields_set - typed
    memory = replace(memory, **{field: getattr(service, field) for field in own})
    if "model" not in typed:
        model = replace(model, model=start.model)
    if reading.fps is None:
        reading = replace(reading, fps=service.fps)
    return start.watches, model, memory, reading


def _check_source(address: str, reading: LiveOptions) -> SourceOptions:
    """Return how a source is read; an address that leads nowhere is told before a model is loaded."""
    from hermes_stream.video import open_source
    from hermes_stream.video.sources.options import SourceOptions

    options = SourceOptions(pace=reading.pace, transport=reading.transport)
    open_source(address, options)
    return options


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
