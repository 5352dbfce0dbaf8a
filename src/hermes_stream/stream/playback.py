"""Playing a video, with questions asked at their times. Knows nothing of terminals."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hermes_stream.video.frame import Frame

if TYPE_CHECKING:
    from hermes_stream.stream import Answer, Session, SessionStats
    from hermes_stream.stream.watches.deferred import Deferred

# Instants of sampling are sums and quotients of floats.
_TOLERANCE_SECONDS = 1e-6


class Source(Protocol):
    """A video: its frames, from the first one on, each time it is iterated."""

    @property
    def start_seconds(self) -> float:
        """Time of the first frame, in seconds."""

    @property
    def duration_seconds(self) -> float | None:
        """Length in seconds, None where nobody knows."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, times increasing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The moment of a question has come.

    Attributes:
        index: which of the times this is.
        at_seconds: the moment, or the end of the video where that came first.
        is_past_end: tells whether a moment after the end was asked for.
    """

    index: int
    at_seconds: float
    is_past_end: bool


def watch(
    source: Source,
    times: Sequence[float],
    *,
    observe: Callable[[Frame], None],
    on_frame: Callable[[float], None] = lambda _: None,
) -> Generator[Due]:
    """Play the whole video once and yield each time when it has come, earliest first.

    When a time t is yielded, exactly the frames up to and including t were observed.

    Args:
        source: the video.
        times: moments in seconds from the first frame, in any order; infinity is the end. Equal ones come in
            theirs.
        observe: takes one frame.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    order = sorted(range(len(times)), key=lambda index: times[index])
    ordered = (times[index] for index in order)
    with closing(watch_in_order(source, ordered, observe=observe, on_frame=on_frame)) as watched:
        for due in watched:
            yield replace(due, index=order[due.index])


def watch_in_order(
    source: Source,
    times: Iterable[float],
    *,
    observe: Callable[[Frame], None],
    on_frame: Callable[[float], None] = lambda _: None,
) -> Generator[Due]:
    """Play the whole video once and yield each time when it has come; times are read one ahead.

    Args:
        source: the video.
        times: moments in seconds from the first frame, earliest first; infinity is the end.
        observe: takes one frame.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    numbered = enumerate(times)
    waiting = next(numbered, None)
    shown_until_seconds = 0.0
    for frame in source:
        seconds = frame.pts_seconds - source.start_seconds
        while waiting is not None and waiting[1] < seconds - _TOLERANCE_SECONDS:
            yield Due(index=waiting[0], at_seconds=waiting[1], is_past_end=False)
            waiting = next(numbered, None)
        observe(frame)
        shown_until_seconds = seconds + frame.duration_seconds
        on_frame(seconds)
    end_seconds = min(shown_until_seconds, source.duration_seconds or math.inf)
    while waiting is not None:
        is_past_end = end_seconds + _TOLERANCE_SECONDS < waiting[1] < math.inf
        yield Due(index=waiting[0], at_seconds=min(waiting[1], end_seconds), is_past_end=is_past_end)
        waiting = next(numbered, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedQuestion:
    """A question and when it is asked.

    Attributes:
        text: what is asked.
        at_seconds: moment of asking, counted from the video's first frame; infinity is the end.
    """

    text: str
    at_seconds: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAnswer:
    """An answer, read to its end.

    Attributes:
        index: which of the questions this answers.
        text: the answer.
        at_seconds: moment of asking, or the end of the video where that came first.
        is_past_end: tells whether a moment after the end was asked for.
        answer: the answer with its latencies.
        stats: the session right after it.
    """

    index: int
    text: str
    at_seconds: float
    is_past_end: bool
    answer: Answer
    stats: SessionStats


def play(
    session: Session,
    source: Source,
    questions: Sequence[TimedQuestion],
    *,
    ask: Callable[[str], Answer],
    on_frame: Callable[[float], None] = lambda _: None,
) -> Iterator[TimedAnswer]:
    """Stream the whole video into a session and yield each answer when its time has come, earliest first.

    A question at time t sees the frames that are sampled up to and including t. The last frames are folded
    into the memory before this ends.

    Args:
        session: has seen nothing yet.
        source: the video.
        questions: in any order; those of one moment are asked in theirs.
        ask: puts one question to the session.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    times = [question.at_seconds for question in questions]
    for due in watch(source, times, observe=session.observe, on_frame=on_frame):
        answer = ask(questions[due.index].text)
        yield TimedAnswer(
            index=due.index,
            text=answer.text,
            at_seconds=due.at_seconds,
            is_past_end=due.is_past_end,
            answer=answer,
            stats=session.stats,
        )
    session.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """A question that waits no longer.

    Attributes:
        due: which of the questions, and when it was asked.
        deferred: the question, with its answer where its evidence came.
        until_seconds: time of the newest frame by then, counted from the video's first.
    """

    due: Due
    deferred: Deferred
    until_seconds: float


def play_waiting(
    session: Session,
    source: Source,
    questions: Sequence[TimedQuestion],
    *,
    ask: Callable[[int], Deferred],
    on_done: Callable[[Waited], None],
    on_frame: Callable[[float], None] = lambda _: None,
) -> None:
    """Stream the whole video into a session; questions wait from their times on for their evidence.

    Those that still wait at the end of the video are cancelled.

    Args:
        session: has seen nothing yet.
        source: the video.
        questions: in any order.
        ask: puts the question of an index to the session, to wait.
        on_done: is told of each that waits no longer; the session may be asked then.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    waiting: list[tuple[Due, Deferred]] = []
    newest_seconds = 0.0

    def settle() -> None:
        for one in [one for one in waiting if one[1].state != "waiting"]:
            waiting.remove(one)
            due, deferred = one
            on_done(Waited(due=due, deferred=deferred, until_seconds=newest_seconds))

    def look(seconds: float) -> None:
        nonlocal newest_seconds
        newest_seconds = seconds
        settle()
        on_frame(seconds)

    times = [question.at_seconds for question in questions]
    for due in watch(source, times, observe=session.observe, on_frame=look):
        waiting.append((due, ask(due.index)))
    session.flush()
    settle()
    for _, deferred in waiting:
        deferred.cancel()
    settle()
