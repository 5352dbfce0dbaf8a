"""From the words of a command line to a session and a source."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.model_choice import read_model
from hermes_stream.cli.output import complain, doing
from hermes_stream.cli.policy_choice import read_policy

if TYPE_CHECKING:
    from hermes_stream.models import VideoModel
    from hermes_stream.models.loading.progress import LoadingProgress, OnProgress
    from hermes_stream.policies import MemoryPolicy
    from hermes_stream.stream import Session
    from hermes_stream.video import FileSource

_WIDTH = 40  # of a model's name beside a bar


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWish:
    """What session a user asks for; the fields are the options of the same names."""

    model: str
    policy: str
    budget_tokens: int | None
    chunk_frames: int
    device: str
    dtype: str
    filter: str | None = None
    kv_bits: int | None = None
    still_below: float | None = None
    weights: str = "auto"
    threads: int | None = None

    @classmethod
    def among(cls, options: Mapping[str, Any]) -> SessionWish:
        """Take what a session needs from the options of a command."""
        return cls(**{field.name: options[field.name] for field in fields(cls) if field.name in options})

    def check(self) -> None:
        """Refuse what no model could make good, before one is loaded; torch gets its threads.

        Raises:
            BadParameter: there is no such policy or filter, or the model's words cannot be read.
        """
        read_model(self.model)
        with doing("starting"):
            _share_processors(self.threads)
            from hermes_stream.filters import FILTERS

        if self.filter is not None and self.filter not in FILTERS:
            raise typer.BadParameter(
                f"{self.filter!r} is none of {', '.join(FILTERS)}", param_hint="--filter"
            )
        if self.budget_tokens is not None:
            tell_unused_budget(self.policy)
        self.make_policy()

    def load_model(self) -> VideoModel:
        """Load the model, without the noise that its libraries make."""
        with doing("starting"):
            _quieten()
            from hermes_stream.models import load_model

        name, fields = read_model(self.model)
        with _warnings_told(), _loading(name) as on_progress:
            return load_model(
                name,
                device=self.device,
                dtype=self.dtype,
                weights=self.weights,
                on_progress=on_progress,
                **fields,
            )

    def make_policy(self, default_budget_tokens: int | None = None) -> MemoryPolicy:
        """Make the policy, with the default budget where none is asked for."""
        choice = read_policy(self.policy)
        budget = self.budget_tokens or default_budget_tokens
        return choice.make(budget_tokens=budget) if choice.takes_budget and budget else choice.make()

    def open_session(self, model: VideoModel) -> Session:
        """Start a stream on the model."""
        from hermes_stream.filters import FILTERS
        from hermes_stream.stream import Session

        session = Session(
            model,
            self.make_policy(model.card.default_budget_tokens),
            chunk_frames=self.chunk_frames,
            filter=None if self.filter is None else FILTERS[self.filter](),
            kv_bits=self.kv_bits,
            still_below=self.still_below,
        )
        fitting = session.policy.budget_tokens
        if self.budget_tokens is not None and fitting not in (self.budget_tokens, None):
            complain(
                f"a budget of {self.budget_tokens} tokens does not fit the {model.layout.max_positions} "
                f"positions of {self.model}; {fitting} are kept",
                kind="warning",
            )
        return session


def tell_unused_budget(policy: str) -> None:
    """Warn that a policy without a bound makes nothing of a budget; all others can be asked alike."""
    if not read_policy(policy).takes_budget:
        complain(f"policy {policy!r} keeps everything; the budget is not used", kind="warning")


def open_video(path: str, *, fps: float | None, video_stream: int | None) -> FileSource:
    """Open a video file; damage is told by the command, not by the log."""
    from hermes_stream.video import FileSource

    mute_log()
    return FileSource(path, fps=fps, video_stream=video_stream)


def mute_log() -> None:
    """Keep Python from printing the library's warnings itself; commands tell what matters."""
    logger = logging.getLogger("hermes_stream")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def open_stream(
    wish: SessionWish, path: str, *, fps: float | None, video_stream: int | None
) -> tuple[Session, FileSource]:
    """Open a video and a session for it, the cheap things first so that mistakes show at once.

    Args:
        wish: the session.
        path: the video file.
        fps: frames sampled per second; None takes the model's default.
        video_stream: which video stream of the file; None takes the best.
    """
    wish.check()
    source = open_video(path, fps=fps, video_stream=video_stream)
    model = wish.load_model()
    if fps is None:
        source = open_video(path, fps=model.card.default_fps, video_stream=video_stream)
    return wish.open_session(model), source


def _share_processors(threads: int | None) -> None:
    """Let torch's threads sleep while they wait, before torch is there to read it, and limit their number.

    Spinning threads made answers a hundred times slower where another program kept the processors busy.

    Args:
        threads: how many compute; None leaves it to torch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _quieten() -> None:
    """Keep the libraries' own bars and warnings out of what a user reads."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Tell what the library warns of while a model loads, such as weights that barely fit."""
    teller = logging.Handler(logging.WARNING)
    teller.emit = lambda record: complain(record.getMessage(), kind="warning")  # type: ignore[method-assign]
    logger = logging.getLogger("hermes_stream.models")
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


@contextmanager
def _loading(name: str) -> Iterator[OnProgress | None]:
    """Show that a model loads, and how far it is where that may take long; on a terminal alone."""
    from hermes_stream.models import EMBEDDED

    if name in EMBEDDED or not sys.stderr.isatty():
        with doing(f"loading {name}"):
            yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    shown = escape(name if len(name) <= _WIDTH else f"...{name[-_WIDTH:]}")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"loading {shown}", total=None)

        def show(moment: LoadingProgress) -> None:
            verb = "downloading" if moment.stage == "download" else "reading"
            progress.update(task, description=f"{verb} {shown}", completed=moment.done, total=moment.total)

        yield show
