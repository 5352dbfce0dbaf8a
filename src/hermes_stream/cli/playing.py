"""Playing a video into a session, with questions asked at their times. Knows nothing of terminals."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hermes_stream.stream import Answer, Session, SessionStats
    from hermes_stream.video import FileSource

# Instants of sampling are sums and quotients of floats.
_TOLERANCE_SECONDS = 1e-6


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
    source: FileSource,
    questions: Sequence[TimedQuestion],
    *,
    ask: Callable[[str], Answer],
    on_frame: Callable[[float], None] = lambda _: None,
) -> Iterator[TimedAnswer]:
    """Stream the whole video once and yield each answer when its time has come, earliest first.

    A question at time t sees the frames that are sampled up to and including t. The last frames are folded
    into the memory before this ends.

    Args:
        session: has seen nothing yet.
        source: the video.
        questions: in any order; those of one moment are asked in theirs.
        ask: puts one question to the session.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    waiting = deque(sorted(range(len(questions)), key=lambda index: questions[index].at_seconds))

    def asked(end_seconds: float = math.inf) -> TimedAnswer:
        index = waiting.popleft()
        question = questions[index]
        answer = ask(question.text)
        return TimedAnswer(
            index=index,
            text=answer.text,
            at_seconds=min(question.at_seconds, end_seconds),
            is_past_end=end_seconds + _TOLERANCE_SECONDS < question.at_seconds < math.inf,
            answer=answer,
            stats=session.stats,
        )

    shown_until_seconds = 0.0
    for frame in source:
        seconds = frame.pts_seconds - source.start_seconds
        while waiting and questions[waiting[0]].at_seconds < seconds - _TOLERANCE_SECONDS:
            yield asked()
        session.observe(frame)
        shown_until_seconds = seconds + frame.duration_seconds
        on_frame(seconds)
    end_seconds = min(shown_until_seconds, source.duration_seconds or math.inf)
    while waiting:
        yield asked(end_seconds)
    session.flush()
