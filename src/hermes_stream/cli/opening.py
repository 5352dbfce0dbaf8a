"""From the options of a command to a model, a session and a source."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer

from hermes_stream.cli.model_choice import read_model
from hermes_stream.cli.options import MemoryOptions, ModelOptions, SourceOptions
from hermes_stream.cli.output import complain, doing

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel
    from hermes_stream.models.loading.progress import LoadingProgress, OnProgress
    from hermes_stream.policies import MemoryPolicy
    from hermes_stream.policies.named import NamedPolicy
    from hermes_stream.stream import Session
    from hermes_stream.video import FileSource

_WIDTH = 40  # of a model's name beside a bar


def check_options(model: ModelOptions, memory: MemoryOptions) -> None:
    """Refuse options that no model could make good, before one is loaded; torch gets its threads.

    Raises:
        BadParameter: there is no such policy or filter, or the model's name or fields cannot be read.
    """
    read_model(model.model)
    with doing("starting"):
        share_processors(model.threads)
        from hermes_stream.filters import choose_filter

    try:
        choose_filter(memory.filter)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from error
    if memory.budget_tokens is not None:
        warn_of_unused_budget(memory.policy)
    make_policy(memory)
    _warn_of_idle_fields(memory.policy)


def load(options: ModelOptions) -> VideoModel:
    """Load the model, without the noise that its libraries make."""
    with doing("starting"):
        from hermes_stream.models import load_model
        from hermes_stream.models.loading.messages import mute_libraries

        mute_libraries()

    name, fields = read_model(options.model)
    with _warnings_shown(), _loading(name) as on_progress:
        return load_model(
            name,
            device=options.device,
            dtype=options.dtype,
            weights=options.weights,
            on_progress=on_progress,
            **fields,
        )


def read_policy(text: str, *, option: str = "--policy") -> NamedPolicy:
    """Read a policy's name and fields.

    Args:
        text: see ``policy_named``.
        option: where the text was given, for the message.

    Raises:
        BadParameter: there is no such policy or field, or the policy refuses a value.
        PluginError: the policy is that of an installed package, which cannot be loaded.
    """
    from hermes_stream.policies.named import policy_named

    try:
        return policy_named(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def make_policy(memory: MemoryOptions, default_budget_tokens: int | None = None) -> MemoryPolicy:
    """Make the policy, with the default budget where none is asked for."""
    choice = read_policy(memory.policy)
    budget = memory.budget_tokens or default_budget_tokens
    return choice.make(budget_tokens=budget) if choice.takes_budget and budget else choice.make()


def open_session(
    memory: MemoryOptions, model: VideoModel, *, guidance_from_questions: bool = True
) -> Session:
    """Start a stream on the model; warn where the budget had to be lowered."""
    from hermes_stream.stream import Session

    session = Session(
        model,
        make_policy(memory, model.card.default_budget_tokens),
        chunk_frames=memory.chunk_frames,
        filter=memory.filter,
        kv_bits=memory.kv_bits,
        still_below=memory.still_below,
        guidance_from_questions=guidance_from_questions,
    )
    kept = session.policy.budget_tokens
    if memory.budget_tokens is not None and kept not in (memory.budget_tokens, None):
        complain(
            f"a budget of {memory.budget_tokens} tokens does not fit the {model.layout.max_positions} "
            f"positions of {model.card.name}; {kept} are kept",
            kind="warning",
        )
    return session


def warn_of_unused_budget(policy: str) -> None:
    """Warn that a policy without a bound makes nothing of a budget; all others can be asked alike."""
    if not read_policy(policy).takes_budget:
        complain(f"policy {policy!r} keeps everything; the budget is not used", kind="warning")


def _warn_of_idle_fields(policy: str) -> None:
    """Warn of fields that a policy has as they are asked for, such as those of an older default."""
    name, _, fields = policy.partition(":")
    if fields and read_policy(policy).make() == read_policy(name).make():
        complain(
            f"{policy!r} is {name!r} itself, which has these fields already; the paper's memory is "
            "hermes_paper ('hermes policies' tells of each)",
            kind="warning",
        )


def open_video(path: str, options: SourceOptions) -> FileSource:
    """Open a video file; the command warns of damage, not the log."""
    from hermes_stream.video import FileSource

    mute_log()
    return FileSource(path, **asdict(options))


def mute_log() -> None:
    """Keep Python from printing the library's warnings itself; commands print what matters."""
    logger = logging.getLogger("hermes_stream")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def warn_of_damage(source: FileSource) -> None:
    """Warn of what broke in a video while it was watched."""
    if source.damage:
        complain(f"{source.path} is damaged, what is good was watched: {source.damage}", kind="warning")


def prompt_chunks(memory: MemoryOptions, model: VideoModel, fps: float | None) -> MemoryOptions:
    """Let chunks hold a second: a watch is as old as its chunk. Without a rate they stay as they are."""
    return memory if fps is None else replace(memory, chunk_frames=model.card.frames_of_a_second(fps))


def open_stream(
    path: str, options: SourceOptions, model: ModelOptions, memory: MemoryOptions, *, is_prompt: bool = False
) -> tuple[Session, FileSource]:
    """Open a video and a session for it, the cheap things first so that mistakes show at once.

    Args:
        path: the video file.
        options: what is read of it; without a rate, the model's default.
        model: which model watches.
        memory: what the session remembers.
        is_prompt: let chunks hold a second.
    """
    check_options(model, memory)
    source = open_video(path, options)
    loaded = load(model)
    if options.fps is None:
        source = open_video(path, replace(options, fps=loaded.card.default_fps))
    if is_prompt:
        memory = prompt_chunks(memory, loaded, source.fps)
    return open_session(memory, loaded), source


def share_processors(threads: int | None) -> None:
    """Say how torch's threads wait and share sums, before it reads that, and limit their number.

    Spinning threads made answers a hundred times slower where another program kept the processors busy; and
    with two threads a product of five rows had other last bits than the same rows among others, so that a
    memory depended on which streams were folded together.

    Args:
        threads: how many compute; None leaves it to torch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print what the library warns of while a model loads, such as weights that barely fit."""
    shown = logging.Handler(logging.WARNING)
    shown.emit = lambda record: complain(record.getMessage(), kind="warning")  # type: ignore[method-assign]
    logger = logging.getLogger("hermes_stream.models")
    logger.addHandler(shown)
    try:
        yield
    finally:
        logger.removeHandler(shown)


@contextmanager
def _loading(name: str) -> Iterator[OnProgress | None]:
    """Show that a model loads, and how far its files are read; on a terminal alone."""
    if not sys.stderr.isatty():
        with doing(f"loading {name}"):
            yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    shown = escape(name if len(name) <= _WIDTH else f"...{name[-_WIDTH:]}")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"loading {shown}", total=None)

        def show(now: LoadingProgress) -> None:
            verb = "downloading" if now.stage == "download" else "reading"
            progress.update(task, description=f"{verb} {shown}", completed=now.done, total=now.total)

        yield show
