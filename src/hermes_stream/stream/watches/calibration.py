"""What a question's answers are worth where there is nothing to see, and on pictures apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hermes_stream.policies.full import FullPolicy
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.scoring import ScoredQuestion, score
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.watches.region import GREY
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame

START_SECONDS = 60.0
"""How much of a stream's beginning tells what is usual there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualScores:
    """What a question's answers score where there is nothing to see.

    Attributes:
        logprobs: means over the looks so far.
        num_looks: how many they are.
        is_settled: whether they are taken off what is seen.
    """

    logprobs: tuple[float, ...] = ()
    num_looks: int = 0
    is_settled: bool = False

    def with_look(self, logprobs: Sequence[float]) -> UsualScores:
        """Return the same with a look more."""
        before = self.logprobs or (0.0,) * len(logprobs)
        count = self.num_looks + 1
        means = tuple(old + (new - old) / count for old, new in zip(before, logprobs, strict=True))
        return UsualScores(logprobs=means, num_looks=count)

    @property
    def settled(self) -> UsualScores:
        """The same, to be taken off from now on."""
        return UsualScores(logprobs=self.logprobs, num_looks=self.num_looks, is_settled=True)


def score_blank(
    stream: Stream, questions: Sequence[ScoredQuestion], size: tuple[int, int]
) -> Work[list[tuple[float, ...]]]:
    """Return what questions score on one grey picture; see ``score_apart``.

    Args:
        stream: of the same model.
        questions: at least one.
        size: height and width of the picture.
    """
    blank = Frame(pts_seconds=0.0, image=np.full((*size, 3), GREY, dtype=np.uint8))
    return (yield from score_apart(stream, questions, [blank]))


def score_apart(
    stream: Stream, questions: Sequence[ScoredQuestion], frames: Sequence[Frame]
) -> Work[list[tuple[float, ...]]]:
    """Return what questions score on some pictures alone, in a stream of their own.

    Args:
        stream: of the same model; nothing of it is read or changed.
        questions: at least one.
        frames: at least one, of one size, earliest first.
    """
    patch_frames = stream.model.card.frames_per_temporal_patch
    num_frames = -(-len(frames) // patch_frames) * patch_frames
    options = StreamOptions(policy=FullPolicy(), chunk_frames=num_frames, text_tokens=stream.text_tokens)
    apart = Stream(stream.executor, options)
    for frame in frames:
        apart.intake.accept(frame)
    yield from apart.fold()
    return (yield from score(apart.model, apart.context, questions))
