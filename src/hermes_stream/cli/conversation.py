"""Typed lines and a playing video on one clock. Knows nothing of sessions."""

from __future__ import annotations

import math
import time
from bisect import insort
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import final

from hermes_stream.cli.moments import split_moment

_MAX_WAITING_LINES = 64
_QUIT = ("quit", "exit", "/quit", "/exit")
# Instants of sampling are sums and quotients of floats.
_TOLERANCE_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A typed line.

    Attributes:
        text: without the time before it.
        at_seconds: the time of the video that it is meant for; None is the moment when it is typed.
    """

    text: str
    at_seconds: float | None = None


@final
class Conversation:
    """Yields the lines typed before the video reached a time, and waits for that time.

    The clock starts with the first call of ``until``. A line typed before it comes right after it.

    Args:
        lines: typed lines; read in a thread of their own, at most 64 ahead.
        speed: seconds of video per second; 0 never waits for the clock.
        ends_with_input: whether the end of the lines means what 'quit' does.
        reads_times: whether lines may begin with the time of the video that they are meant for, as in
            ``0:12 what came first?``. A line without one follows the line before it, while that waits. At
            speed 0 the video then waits for lines until it knows one that is meant for later.
        first_line_seconds: how long the first call of ``until`` waits for a first line.

    Attributes:
        has_ended: whether the lines have ended.
        is_over: whether the user has left.
    """

    def __init__(
        self,
        lines: Iterable[str],
        *,
        speed: float,
        ends_with_input: bool,
        reads_times: bool = False,
        first_line_seconds: float = 0.0,
    ) -> None:
        self.has_ended = False
        self.is_over = False
        self._speed = speed
        self._ends_with_input = ends_with_input
        self._first_line_seconds = first_line_seconds
        self._reads_times = reads_times
        self._began: float | None = None
        self._typed: Queue[tuple[float, str | None]] = Queue(_MAX_WAITING_LINES)
        self._next: tuple[float, str | None] | None = None
        self._scheduled: list[tuple[float, Line]] = []
        self._newest_at: float | None = None
        self._reached_seconds = 0.0
        Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line.strip():
                self._typed.put((time.monotonic(), line.strip()))
        self._typed.put((time.monotonic(), None))

    def until(self, seconds: float) -> Iterator[Line]:
        """Yield the lines typed or meant for before a time of the video, until it is reached.

        Args:
            seconds: the time, from the start of the video; at least that of the call before.
        """
        if self._began is None:
            self._began = time.monotonic()
            self._peek(time.monotonic() + self._first_line_seconds)
            return
        while not self.is_over and not self.has_ended:
            line = self._typed_before(time.monotonic())
            if line is None:
                # whoever waits for an answer may type no more before
                yield from self._scheduled_before(seconds - _TOLERANCE_SECONDS)
                line = self._typed_before(self._due(self._began, seconds))
            if line is None:
                break
            yield from self._now_or_later(line)
        yield from self._scheduled_before(seconds - _TOLERANCE_SECONDS)
        self._reached_seconds = seconds

    def rest(self) -> Iterator[Line]:
        """Yield lines until the user leaves or the lines end."""
        yield from self._scheduled_before(math.inf)
        while not self.is_over and not self.has_ended:
            line = self._typed_before(None)
            if line is not None:
                yield from self._unless_quit(line)

    def _due(self, began: float, seconds: float) -> float | None:
        """Return until when lines are waited for, as ``time.monotonic``; None waits for the next one."""
        if self._speed:
            return began + seconds / self._speed
        waits = self._newest_at is not None and self._newest_at < seconds
        return None if waits else time.monotonic()

    def _typed_before(self, due: float | None) -> Line | None:
        """Wait for the next line until a time of ``time.monotonic``; None waits without end."""
        if self.is_over or self.has_ended:
            return None
        self._peek(due)
        if self._next is None:
            return None
        typed, text = self._next
        if due is not None and typed > due:
            return None
        self._next = None
        if text is None:
            self.has_ended = True
            self.is_over = self._ends_with_input
            return None
        return self._with_time(text)

    def _peek(self, due: float | None) -> None:
        """Take the next line from the thread that reads, if it comes in time."""
        if self._next is None:
            timeout = None if due is None else max(0.0, due - time.monotonic())
            with suppress(Empty):
                self._next = self._typed.get(block=timeout != 0.0, timeout=timeout)

    def _with_time(self, text: str) -> Line:
        if not self._reads_times:
            return Line(text=text)
        at_seconds, text = split_moment(text)
        if at_seconds is not None:
            self._newest_at = at_seconds
            return Line(text=text, at_seconds=at_seconds)
        follows = self._newest_at is not None and self._newest_at >= self._reached_seconds
        return Line(text=text, at_seconds=self._newest_at if follows else None)

    def _now_or_later(self, line: Line) -> Iterator[Line]:
        if line.at_seconds is None:
            yield from self._unless_quit(line)
        else:
            insort(self._scheduled, (line.at_seconds, line), key=lambda one: one[0])

    def _scheduled_before(self, seconds: float) -> Iterator[Line]:
        while not self.is_over and self._scheduled and self._scheduled[0][0] < seconds:
            yield from self._unless_quit(self._scheduled.pop(0)[1])

    def _unless_quit(self, line: Line) -> Iterator[Line]:
        if line.text.lower() in _QUIT:
            self.is_over = True
        else:
            yield line
