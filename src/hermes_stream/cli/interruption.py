"""Work that a user or the system ends early: what was done until then is still told."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import typer

from hermes_stream.cli.output import complain

INTERRUPT_CODE, TERMINATION_CODE = 128 + signal.SIGINT, 128 + signal.SIGTERM


@final
class Terminated(SystemExit):
    """SIGTERM came. Code that does not know it ends the program, with the exit code of that signal."""

    def __init__(self) -> None:
        super().__init__(TERMINATION_CODE)


@final
class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed.

    Python ends a program by the signal where its own ``KeyboardInterrupt`` once left code that was made of a
    text, as a dataclass is, whatever exit code follows. It does not look at other classes.
    """


def cause_of(error: BaseException) -> str:
    """Return what JSON documents call an error."""
    return KeyboardInterrupt.__name__ if isinstance(error, KeyboardInterrupt) else type(error).__name__


@contextmanager
def signals_raise() -> Iterator[list[BaseException]]:
    """Raise ``Terminated`` in the main thread on SIGTERM, and ``Interrupted`` on Ctrl-C, for a while.

    Yields:
        What was raised until now: a library that is imported just then may make another error of it.
    """
    raised: list[BaseException] = []
    if threading.current_thread() is not threading.main_thread():
        yield raised
        return
    owner = os.getpid()

    def end(*_: Any) -> None:
        if os.getpid() == owner:
            raised.append(Terminated())
            raise raised[-1]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked worker has nothing to tell
        os.kill(os.getpid(), signal.SIGTERM)

    def interrupt(*_: Any) -> None:
        raised.append(Interrupted())
        raise raised[-1]

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody ignores it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield raised
    finally:
        for number, was in before.items():
            signal.signal(number, signal.SIG_DFL if was is None else was)


@final
class Ending:
    """How a work ended: by itself, by Ctrl-C, or by SIGTERM.

    Attributes:
        cause: what ended it early; None where it came to its end.
    """

    def __init__(self) -> None:
        self.cause: KeyboardInterrupt | Terminated | None = None

    def document(self, done: str) -> dict[str, object]:
        """Return what a JSON document says of an early end; nothing where there was none.

        Args:
            done: what was done until then, in words.
        """
        if self.cause is None:
            return {}
        return {"error": {"type": cause_of(self.cause), "message": self._message(done)}}

    def leave(self, done: str) -> None:
        """Leave the command with the signal's exit code, if there was one.

        Raises:
            Exit: the work was ended early.
        """
        if self.cause is None:
            return
        if isinstance(self.cause, KeyboardInterrupt):  # whoever pressed the keys knows
            raise typer.Exit(INTERRUPT_CODE)
        complain(self._message(done))
        raise typer.Exit(TERMINATION_CODE)

    def _message(self, done: str) -> str:
        by = "Ctrl-C" if isinstance(self.cause, KeyboardInterrupt) else "SIGTERM"
        return f"ended by {by}; {done}"


@contextmanager
def interruptible() -> Iterator[Ending]:
    """Let Ctrl-C and SIGTERM end the context instead of the command."""
    ending = Ending()
    try:
        yield ending
    except (KeyboardInterrupt, Terminated) as error:
        ending.cause = error
