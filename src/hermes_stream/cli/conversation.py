"""Typed lines and a playing video on one clock. Knows nothing of sessions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from queue import Empty, Queue
from threading import Thread
from typing import final

_MAX_WAITING_LINES = 64
_QUIT = ("quit", "exit")


def standard_input_lines() -> Iterator[str]:
    """Yield lines of standard input through a file object of their own.

    The interpreter closes ``sys.stdin`` when it ends, and aborts where a thread still waits in it.
    """
    with os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8", errors="replace") as lines:
        yield from lines


@final
class Conversation:
    """Yields the questions typed before the video reached a time, and waits for that time.

    The clock starts with the first call of ``until``. A question typed before it comes right after it.

    Args:
        lines: typed lines; read in a thread of their own, at most 64 ahead.
        speed: seconds of video per second; 0 never waits.
        ends_with_input: whether the end of the lines means what 'quit' does.

    Attributes:
        has_ended: whether the lines have ended.
        is_over: whether the user has left.
    """

    def __init__(self, lines: Iterable[str], *, speed: float, ends_with_input: bool) -> None:
        self.has_ended = False
        self.is_over = False
        self._speed = speed
        self._ends_with_input = ends_with_input
        self._began: float | None = None
        self._typed: Queue[tuple[float, str | None]] = Queue(_MAX_WAITING_LINES)
        self._next: tuple[float, str | None] | None = None
        Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line.strip():
                self._typed.put((time.monotonic(), line.strip()))
        self._typed.put((time.monotonic(), None))

    def until(self, seconds: float) -> Iterator[str]:
        """Yield the questions typed before a time of the video, as they come, until it is reached.

        Args:
            seconds: the time, from the start of the video; at least that of the call before.
        """
        if self._began is None:
            self._began = time.monotonic()
            return
        due = self._began + seconds / self._speed if self._speed else time.monotonic()
        while not self.is_over and not self.has_ended:
            question = self._typed_before(due)
            if question is None:
                return
            yield question

    def rest(self) -> Iterator[str]:
        """Yield questions until the user leaves or the lines end."""
        while not self.is_over and not self.has_ended:
            question = self._typed_before(None)
            if question is not None:
                yield question

    def _typed_before(self, due: float | None) -> str | None:
        """Wait for the next question until a time of ``time.monotonic``; None waits without end."""
        if self._next is None:
            timeout = None if due is None else max(0.0, due - time.monotonic())
            try:
                self._next = self._typed.get(block=timeout != 0.0, timeout=timeout)
            except Empty:
                return None
        typed, text = self._next
        if due is not None and typed > due:
            return None
        self._next = None
        if text is None:
            self.has_ended = True
            self.is_over = self._ends_with_input
        elif text.lower() in _QUIT:
            self.is_over = True
        else:
            return text
        return None
