"""What a run of an evaluation consists of: questions with the answers that they got."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hermes_lab.datasets.choices import normal
from hermes_lab.datasets.episode import EvalQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a watcher answers, and what its memory held then.

    Attributes:
        text: the answer.
        option_index: which option was chosen; None for an answer in words of its own.
        options_shown: whether the options were shown, where the question has some.
        is_readable: whether a stored answer has a form that is known; its text is empty otherwise.
        ttft_seconds: time to first token; 0 where there is none: it was read as one number, or not asked.
        num_frames: frames watched when asked.
        num_visual_tokens_seen: visual tokens prefilled when asked.
        num_visual_tokens_kept: visual tokens in the fullest layer when asked.
        cache_bytes: bytes of the stream's buffers when asked.
        host_bytes: bytes of host memory held for later questions when asked.
    """

    text: str
    option_index: int | None = None
    options_shown: bool = True
    is_readable: bool = True
    ttft_seconds: float = 0.0
    num_frames: int = 0
    num_visual_tokens_seen: int = 0
    num_visual_tokens_kept: int = 0
    cache_bytes: int = 0
    host_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One question of a benchmark with its answer.

    Attributes:
        video: the path of the video, as annotated.
        question: what was asked, with its truth.
        reply: what was answered.
        at_seconds: the moment of asking, or the end of the video where that came first.
        is_past_end: whether a moment after the end was asked for.
        took_seconds: time to watch so far and to answer, encoding of shared frames aside.
    """

    video: str
    question: EvalQuestion
    reply: Reply
    at_seconds: float
    is_past_end: bool = False
    took_seconds: float = 0.0

    @property
    def is_choice(self) -> bool:
        """Whether there were options to choose from, rather than words to find."""
        return bool(self.question.options) and self.reply.options_shown

    @property
    def is_right(self) -> bool:
        """Whether the right option was chosen, or the words are the truth, case and a full stop aside."""
        if self.reply.option_index is not None:
            return self.reply.option_index == self.question.answer_index
        return normal(self.reply.text) == normal(self.question.answer)


def first_token_seconds(predictions: Iterable[Prediction]) -> list[float]:
    """Return the times to first token of the answers that have one."""
    return [one.reply.ttft_seconds for one in predictions if one.reply.ttft_seconds]


class RunKey(NamedTuple):
    """The identity of a run.

    Attributes:
        video: name of the episode: its video, as annotated, and which part of it.
        policy: as a word of the command line.
        budget_tokens: visual tokens that each layer may keep; None is no bound.
        seed: of a policy that draws at random; None for others.
    """

    video: str
    policy: str
    budget_tokens: int | None
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One video watched with one policy.

    Attributes:
        key: which video and which policy.
        predictions: one for each question, in their order; empty where the video was not watched to its end.
        skipped: why the policy could not watch the video; None where it could.
    """

    key: RunKey
    predictions: tuple[Prediction, ...] = ()
    skipped: str | None = None
