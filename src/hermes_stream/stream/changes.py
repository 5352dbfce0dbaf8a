"""What changes a stream, in order: the same changes make the same memory, from a beginning or a snapshot on.

A memory follows from what came and from where it was folded, to the bit. Whoever records a stream's changes
can do them again on another stream (``Stream.redo``); how they are kept is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCame:
    """A frame was taken in, and waits.

    Attributes:
        frame: at the size that the model sees.
        due: instant of the sampling that is due after it.
        num_gaps: pauses so far.
    """

    frame: Frame
    due: int
    num_gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForgotten:
    """A frame that waited was dropped, because too many did.

    Attributes:
        index: among all frames that are not in the memory yet, oldest first.
    """

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesLeftOut:
    """Frames were left out for good, because they cannot be folded in.

    Attributes:
        indices: among all frames that are not in the memory yet, oldest first.
    """

    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFolded:
    """Frames entered the memory together.

    Attributes:
        start: index of the first among all frames that are not in the memory yet, oldest first.
        num_frames: that followed one another.
        text_tokens: room that a question wanted behind them at once; None where none waited.
    """

    start: int
    num_frames: int
    text_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCompressed:
    """A compression that a question had put off was done, so that a chunk fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFramesPrefilled:
    """Frames that are held instead of a memory were prefilled, for a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswered:
    """A question was answered to its end.

    Attributes:
        question: what was asked; None where it steers nothing.
        answer: its text; None where it steers nothing.
    """

    question: str | None = None
    answer: str | None = None


What = (
    FrameCame
    | FrameForgotten
    | FramesLeftOut
    | ChunkFolded
    | MemoryCompressed
    | HeldFramesPrefilled
    | QuestionAnswered
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a stream.

    Attributes:
        number: of the change, from 1 on.
        what: happened.
    """

    number: int
    what: What


Listener = Callable[[Change], None]


class Changes:
    """Numbers a stream's changes, and tells who listens.

    Attributes:
        num_changes: so far.
        listener: is told of each; None tells nobody.
    """

    def __init__(self) -> None:
        self.num_changes = 0
        self.listener: Listener | None = None

    def note(self, what: What) -> None:
        """Number a change that has happened."""
        self.num_changes += 1
        if self.listener is None:
            return
        try:
            self.listener(Change(number=self.num_changes, what=what))
        except Exception:
            # the stream has changed already and goes on; what follows a hole cannot be done again
            log.exception("changes of a stream are not recorded any more")
            self.listener = None
