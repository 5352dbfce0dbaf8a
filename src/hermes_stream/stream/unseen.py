"""Whether an answer was never shown: "not seen", offered beside all others, scored against the best one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.base import VideoModel
from hermes_stream.models.vocabulary import unknown_words
from hermes_stream.stream.answer import NOT_SEEN, Answer
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.question import Question
from hermes_stream.stream.scoring import ScoredQuestion, read_branches
from hermes_stream.stream.work import Work

_MAX_OPTIONS = 25
_SAID_BY_ITSELF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenQuestion:
    """A question with "not seen" among its answers.

    Attributes:
        scored: the question, with its options and "not seen" behind them; of an open question, with the
            spellings of "not seen" alone.
        is_open: whether it has no options.
        unseen_at: score from which the answer is "not seen", in [0, 1].
    """

    scored: ScoredQuestion
    is_open: bool
    unseen_at: float

    @classmethod
    def phrase(
        cls, model: VideoModel, text: str, options: Sequence[str] | None, *, text_tokens: int
    ) -> UnseenQuestion:
        """Phrase a question that was checked without "not seen".

        Args:
            model: reads it.
            text: what is asked, not empty.
            options: choices; None for an open question.
            text_tokens: room for question and answer.

        Raises:
            CapacityError: with "not seen", the question does not fit the room.
            ValueError: the vocabulary lacks "not seen", there is no place for one more option, or one of them
                is "not seen".
        """
        unseen_at = model.card.unseen_at
        if options is None:
            check_words(model)
            scored = _of_open(model, text, text_tokens=text_tokens)
            # a model that would say so by itself is never made to say something else
            return cls(scored=scored, is_open=True, unseen_at=min(unseen_at, _SAID_BY_ITSELF))
        _check_options(options)
        if model.card.multiple_choice == "text":
            check_words(model)
        offered = [*options, NOT_SEEN]
        scored = ScoredQuestion.of_options(model, text, offered, text_tokens=text_tokens)
        return cls(scored=scored, is_open=False, unseen_at=unseen_at)

    def read(self, logprobs: Sequence[Float[Tensor, "places vocabulary"]]) -> float:
        """Return how likely "not seen" is against the best other answer, in [0, 1]; at 0.5 they are equal.

        Args:
            logprobs: of each branch, at its last places.
        """
        *others, unseen = self.scored.read(logprobs)
        best = self._best_beginning(logprobs) if self.is_open else max(others)
        return 1 / (1 + math.exp(min(best - unseen, 700.0)))

    def _best_beginning(self, logprobs: Sequence[Float[Tensor, "places vocabulary"]]) -> float:
        """Return how likely the best first token of another answer is: an open answer has any length."""
        begins = {spelling[0] for spelling in self.scored.answers[-1]}
        # every branch begins with the question, and its first place is what follows that
        first = logprobs[0][0].clone()
        first[list(begins)] = -math.inf
        return float(first.max())


def says_unseen(
    model: VideoModel,
    context: QuestionContext,
    question: UnseenQuestion,
    answer: Answer,
) -> Work[bool]:
    """Read the score of "not seen" in one forward; give that as the answer where it is high enough.

    Args:
        model: reads the question.
        context: what it reads; nothing of it changes, and nothing is retrieved for it.
        question: with "not seen" among its answers.
        answer: is told the score, and given "not seen" and its end where that is the answer.
    """
    logprobs = yield from read_branches(model, context, question.scored.branches, stage="question")
    score = answer.unseen_score = question.read(logprobs)
    if score < question.unseen_at:
        return False
    answer.unseen, answer.confidence = True, score
    answer.give(NOT_SEEN)
    answer.finish_reason = "stop"
    return True


def _of_open(model: VideoModel, text: str, *, text_tokens: int) -> ScoredQuestion:
    chat = model.chat
    written = (NOT_SEEN, NOT_SEEN.capitalize())
    spellings = sorted({tuple(chat.encode_user_text(one)) for one in written})
    longest = max(map(len, spellings))
    question = Question.phrase(model, text, None, text_tokens=text_tokens, answer_tokens=longest)
    return ScoredQuestion(token_ids=question.token_ids, answers=(tuple(spellings),))


def check_words(model: VideoModel) -> None:
    """Check that a model can say "not seen".

    Raises:
        ValueError: the vocabulary lacks a word of it.
    """
    if missing := unknown_words(model.chat.tokenizer, NOT_SEEN):
        raise ValueError(
            f"model {model.card.name!r} has no word {missing[0]!r} in its vocabulary, so that it cannot say "
            f"{NOT_SEEN!r}; ask without allow_unseen, or load a checkpoint that was trained to say it"
        )


def _check_options(options: Sequence[str]) -> None:
    if len(options) > _MAX_OPTIONS:
        raise ValueError(
            f"with allow_unseen a question has at most {_MAX_OPTIONS} options, got {len(options)}: "
            f"{NOT_SEEN!r} is one more"
        )
    if twins := [one for one in options if one.strip().casefold() == NOT_SEEN]:
        raise ValueError(
            f"allow_unseen offers {NOT_SEEN!r} beside the options, and {twins[0]!r} is one of them; leave "
            "it out"
        )
