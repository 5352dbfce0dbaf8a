"""Failures become one message, one exit code and, under --json, a document.

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 a program that shared a run was lost, 130 interrupted, 143
terminated. A failure on purpose is one
message on standard error; a traceback is a bug.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import typer

from hermes_stream.cli.interruption import INTERRUPT_CODE, TERMINATION_CODE, Terminated, cause_of
from hermes_stream.cli.output import complain, print_json
from hermes_stream.errors import HermesError, WorkerError

WORKER_CODE = 3
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
_PLAIN = "hermes_plain"
_PLAIN_LETTERS = dict(
    zip("\u2026\u2013\u2014\u2018\u2019\u201c\u201d\u2192\u2022\u00b7\u00d7", ".--''\"\">*.x", strict=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a command failed.

    Attributes:
        kind: of error, as JSON documents name it.
        message: what failed, for people.
        exit_code: of the command.
        is_quiet: nothing stands on standard error.
        is_of_output: standard output takes nothing any more.
    """

    kind: str
    message: str
    exit_code: int = 1
    is_quiet: bool = False
    is_of_output: bool = False


def run_to_exit_code(
    command: Callable[[], int], *, as_json: bool, signals: Sequence[BaseException] = ()
) -> int:
    """Run a command; tell a failure, and return the exit code.

    Args:
        command: returns its own exit code.
        as_json: whether a failure is a document too.
        signals: see ``signals_raise``; an error after one, which nobody raised on purpose, is the signal's.
    """
    with ExitStack() as stack:
        if sys.stderr is None:  # closed
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stderr(nowhere))
        if sys.stdout is None:
            complain("standard output is closed; give it a place to go to, such as > answers.txt")
            return 1
        _show_plain_letters()
        return _run(command, as_json=as_json, signals=signals)


def _run(command: Callable[[], int], *, as_json: bool, signals: Sequence[BaseException]) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except BaseException as error:
        is_of_signal = signals and not isinstance(error, HermesError | OSError)
        failure = failure_of(signals[0] if is_of_signal else error)
        if failure is None:
            raise
    else:
        return code
    return _tell(failure, as_json=as_json)


def failure_of(error: BaseException) -> Failure | None:
    """Return what an error means to a user; None for a bug, whose traceback is of use."""
    code, message = 1, str(error)
    is_quiet = is_of_output = False
    match error:
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            hint = f" (see '{context.command_path} --help')" if context is not None else ""
            said = error.format_message() or "which command?"
            code, message = error.exit_code, f"{said}{hint}"
        case WorkerError():
            code = WORKER_CODE
        case HermesError() | ValueError():
            pass
        case BrokenPipeError():  # whoever read has left
            is_quiet = is_of_output = True
        case OSError():
            message, is_of_output = _of_file(error), error.filename is None and error.errno in _OUTPUT_ERRORS
        case KeyboardInterrupt():
            code, message, is_quiet = INTERRUPT_CODE, "interrupted", True
        case Terminated():
            code, message = TERMINATION_CODE, "ended by SIGTERM before there was anything to tell"
        case _ if _is_out_of_memory(error):
            message = _of_memory(message)
        case _:
            return None
    return Failure(
        kind=cause_of(error),
        message=message,
        exit_code=code,
        is_quiet=is_quiet,
        is_of_output=is_of_output,
    )


def _of_file(error: OSError) -> str:
    name = "standard output" if error.filename is None else error.filename
    return f"{name}: {error.strerror}" if error.strerror else str(error)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or "torch" not in sys.modules:  # else torch did not raise it
        return isinstance(error, MemoryError)
    from hermes_stream.stream.executor import is_out_of_memory

    return is_out_of_memory(error)


def _of_memory(message: str) -> str:
    reason = message.splitlines()[0] if message else "no more can be allocated"
    return (
        f"the device ran out of memory ({reason}); lower --budget-tokens or --chunk-frames, or choose a "
        "smaller dtype or model"
    )


def _tell(failure: Failure, *, as_json: bool) -> int:
    can_write = not failure.is_of_output and _can_flush()
    if not can_write:
        # what is left is written into nothing; the interpreter would complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not failure.is_quiet:
        complain(failure.message)
    if as_json and can_write:
        error = {"type": failure.kind, "message": failure.message}
        print_json({"error": error}, schema="error")
    return failure.exit_code


def _can_flush() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _show_plain_letters() -> None:
    """Let a terminal that lacks a letter show another, and go on."""
    codecs.register_error(_PLAIN, _plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_PLAIN)


def _plain_letters(error: UnicodeError) -> tuple[str, int]:
    """Replace letters that a terminal lacks, each by one that it has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN_LETTERS.get(letter, "?") for letter in letters), error.end
