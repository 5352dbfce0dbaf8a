"""Where typed lines come from: a terminal with line editing, history and a clock, or plain standard input."""

from __future__ import annotations

import os
import sys
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from hermes_stream.cli.output import is_terminal

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

PROMPT = "> "
_REFRESH_SECONDS = 0.5
_CLOSE_SECONDS = 2.0


def edits_lines(*, on_standard_error: bool) -> bool:
    """Tell whether lines are typed at a terminal that can edit them.

    Args:
        on_standard_error: whether answers appear there instead of on standard output.
    """
    shown = sys.stderr if on_standard_error else sys.stdout
    return is_terminal(sys.stdin) and is_terminal(shown) and os.environ.get("TERM", "") not in ("", "dumb")


@contextmanager
def typed_lines(status: Callable[[], str], *, on_standard_error: bool) -> Iterator[Iterator[str]]:
    """Give the lines that a user types, to be read in any one thread while the context lasts.

    Args:
        status: what stands below the line that is typed; called twice a second.
        on_standard_error: show prompt and answers there, and leave standard output alone.
    """
    if not edits_lines(on_standard_error=on_standard_error):
        yield standard_input_lines()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.output import create_output
    from prompt_toolkit.patch_stdout import patch_stdout

    output = create_output(stdout=sys.stderr if on_standard_error else sys.stdout)
    with create_app_session(output=output):
        session: PromptSession[str] = PromptSession(
            PROMPT, history=_history(), bottom_toolbar=status, refresh_interval=_REFRESH_SECONDS
        )
        closed, done = Event(), Event()
        with patch_stdout():
            try:
                yield _prompted_lines(session, closed, done)
            finally:
                closed.set()
                _leave(session, done)


def _prompted_lines(session: PromptSession[str], closed: Event, done: Event) -> Iterator[str]:
    context = copy_context()  # a thread has none, and would not find the session's terminal

    def prompted() -> Iterator[str]:
        try:
            while not closed.is_set():
                # signals come to the main thread alone
                yield context.run(session.prompt, handle_sigint=False)
        except EOFError:
            return
        except KeyboardInterrupt:
            interrupt_main()
        finally:
            done.set()

    return prompted()


def _leave(session: PromptSession[str], done: Event) -> None:
    """End the prompt, so that the terminal is as it was before."""
    app = session.app
    if app.is_running and app.loop is not None:
        app.loop.call_soon_threadsafe(lambda: app.is_running and app.exit(exception=EOFError()))
        done.wait(_CLOSE_SECONDS)


def _history() -> History:
    """Return the questions of former chats, kept in the user's folder for state, if it can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hermes-stream"
    path = folder / "chat-history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def standard_input_lines() -> Iterator[str]:
    """Yield lines of standard input through a file object of their own.

    The interpreter closes ``sys.stdin`` when it ends, and aborts where a thread still waits in it.
    """
    if sys.stdin is None:  # closed
        return
    with os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8", errors="replace") as lines:
        yield from lines
