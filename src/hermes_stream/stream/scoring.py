"""Scored questions: how likely each of some answers is, read from the memory, which stays as it is.

A scored question only prefills. Many are read in one forward, as texts that do not see each other, and
nothing of them stays: neither keys in the cache, nor a conversation that would steer what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.chat import Chat
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.decoding import check_finite
from hermes_stream.stream.question import Question
from hermes_stream.stream.stats import Stage
from hermes_stream.stream.work import ForwardRequest, Work

YES_NO = (("yes",), ("no",))
NUMBERS = (
    ("0", "zero"),
    ("1", "one"),
    ("2", "two"),
    ("3", "three"),
    ("4", "four"),
    ("5", "five"),
    ("6", "six"),
    ("7", "seven"),
    ("8", "eight"),
    ("9", "nine"),
)
"""Numbers that one token tells, each in digits and as a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredQuestion:
    """A question, and the answers whose probabilities it is read for.

    Attributes:
        token_ids: of the question, and of what opens its answer.
        answers: for each answer its spellings, as tokens.
        newest_seconds: how far back it reads from the newest frame; None reads the whole memory.
    """

    token_ids: tuple[int, ...]
    answers: tuple[tuple[tuple[int, ...], ...], ...]
    newest_seconds: float | None = None

    @classmethod
    def of_words(
        cls, model: VideoModel, text: str, words: Sequence[Sequence[str]], *, text_tokens: int
    ) -> ScoredQuestion:
        """Phrase a question that is answered by single words.

        Args:
            model: reads it.
            text: what is asked, not empty.
            words: for each answer the words that say it; all spellings of them count.
            text_tokens: room for question and answer.

        Raises:
            CapacityError: the question does not fit the room.
            ModelError: the vocabulary has no single token for any word of an answer.
            ValueError: the question is empty.
        """
        question = Question.phrase(model, text, None, text_tokens=text_tokens, answer_tokens=1)
        found = [{one for word in alike for one in spellings(model.chat, word)} for alike in words]
        for alike, ids in zip(words, found, strict=True):
            if not ids:
                raise ModelError(
                    f"the vocabulary of model {model.card.name!r} has no single token for "
                    f"{' or '.join(map(repr, alike))}, so that this question cannot be scored; give options "
                    "in words that it has"
                )
        answers = tuple(tuple((token,) for token in sorted(ids)) for ids in found)
        return cls(token_ids=question.token_ids, answers=answers)

    @classmethod
    def of_options(
        cls, model: VideoModel, text: str, options: Sequence[str], *, text_tokens: int
    ) -> ScoredQuestion:
        """Phrase a multiple-choice question, as ``ask`` does.

        Args:
            model: reads it.
            text: what is asked, not empty.
            options: the answers.
            text_tokens: room for question and answer.

        Raises:
            CapacityError: question and answer do not fit the room.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        question = Question.phrase(model, text, options, text_tokens=text_tokens, answer_tokens=1)
        told_apart = _told_apart(question.options or ())
        return cls(token_ids=question.token_ids, answers=tuple((ids,) for ids in told_apart))

    @property
    def branches(self) -> list[tuple[tuple[int, ...], int]]:
        """Texts that are read for it, each with the number of its last tokens whose next ones matter."""
        return [((*self.token_ids, *path), len(path) + 1) for path in self._paths]

    @property
    def _paths(self) -> list[tuple[int, ...]]:
        """Beginnings of answers whose next tokens matter, but for those that another one begins with."""
        paths = {spelling[:-1] for answer in self.answers for spelling in answer}
        return sorted(
            path for path in paths if not any(path == other[: len(path)] for other in paths - {path})
        )

    def num_tokens(self, model: VideoModel) -> int:
        """Return the tokens that enter the forward for it."""
        return sum(len(ids) + len(model.video_end) for ids, _ in self.branches)

    def read(self, logprobs: Sequence[Float[Tensor, "places vocabulary"]]) -> tuple[float, ...]:
        """Return the logarithm of each answer's probability.

        Args:
            logprobs: of each branch, at its last places.
        """
        found = dict(zip(self._paths, logprobs, strict=True))

        def of_spelling(spelling: tuple[int, ...]) -> float:
            """Return how likely a spelling is, read where the path leads that begins like it."""
            lead = spelling[:-1]
            path = next(one for one in found if one[: len(lead)] == lead)
            return _of_sequence(found[path], spelling)

        return tuple(_summed([of_spelling(one) for one in answer]) for answer in self.answers)


def score(
    model: VideoModel, context: QuestionContext, questions: Sequence[ScoredQuestion]
) -> Work[list[tuple[float, ...]]]:
    """Return the logarithms of each answer's probability for each question, all in one forward.

    Args:
        model: reads the questions.
        context: what they read; nothing of it changes.
        questions: at least one.

    Raises:
        ModelError: logits are infinite or no numbers.
    """
    parts = [branch for question in questions for branch in question.branches]
    newest = tuple(question.newest_seconds for question in questions for _ in question.branches)
    logprobs = iter((yield from read_branches(model, context, parts, stage="watch", newest_seconds=newest)))
    return [question.read([next(logprobs) for _ in question.branches]) for question in questions]


def read_branches(
    model: VideoModel,
    context: QuestionContext,
    parts: Sequence[tuple[tuple[int, ...], int]],
    *,
    stage: Stage,
    newest_seconds: tuple[float | None, ...] = (),
) -> Work[list[Float[Tensor, "places vocabulary"]]]:
    """Return the logarithms of next tokens' probabilities behind texts that do not see each other.

    Args:
        model: reads the texts.
        context: what they read; nothing of it changes.
        parts: tokens of each text, and how many of its last places matter; see ``branches``.
        stage: what the forward counts as.
        newest_seconds: of each text; see ``QuestionContext.beside``.

    Raises:
        ModelError: logits are infinite or no numbers.
    """
    embeddings = [torch.cat([model.video_end, model.embed(ids)]) for ids, _ in parts]
    lengths = tuple(map(len, embeddings))
    places: list[int] = []
    end = 0
    for length, (_, count) in zip(lengths, parts, strict=True):
        end += length
        places += range(end - count, end)
    logits: Tensor = yield ForwardRequest(
        segments=(context.beside(torch.cat(embeddings), lengths, newest_seconds),),
        stage=stage,
        wants_logits=True,
        places=tuple(places),
    )
    check_finite(logits, model)
    return list(logits.log_softmax(dim=-1).split([count for _, count in parts]))


def probabilities(logprobs: Sequence[float], *, usual: Sequence[float] | None = None) -> tuple[float, ...]:
    """Return how likely each answer is among all of them.

    Args:
        logprobs: of the answers.
        usual: what they are where there is nothing to see; it is taken off.
    """
    shifted = [own - (usual[i] if usual else 0.0) for i, own in enumerate(logprobs)]
    largest = max(shifted)
    weights = [math.exp(one - largest) for one in shifted]
    return tuple(weight / sum(weights) for weight in weights)


def spellings(chat: Chat, word: str) -> list[int]:
    """Return the tokens that spell a word on their own: in small letters, capitals, behind a space.

    Args:
        chat: has the vocabulary.
        word: one word.
    """
    found = set()
    for written in (word.lower(), word.capitalize(), word.upper()):
        for spaced in (written, f" {written}"):
            ids = chat.encode_user_text(spaced)
            # a piece of the word, or a mark for the space alone, would begin other words as well
            if len(ids) == 1 and chat.decode(ids).strip().casefold() == word.casefold():
                found.add(ids[0])
    return sorted(found)


def _told_apart(options: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return as much of each option as no other begins with; ``ask`` reads no further either."""
    found = []
    for option in options:
        others = [one for one in options if one != option]
        lengths = range(1, len(option) + 1)
        apart = (n for n in lengths if not any(one[:n] == option[:n] for one in others))
        length = next(apart, len(option))
        found.append(option[:length])
    return found


def _summed(logprobs: Sequence[float]) -> float:
    largest = max(logprobs)
    return largest + math.log(sum(math.exp(one - largest) for one in logprobs))


def _of_sequence(logprobs: Float[Tensor, "places vocabulary"], ids: Sequence[int]) -> float:
    return float(sum(float(logprobs[place, token]) for place, token in enumerate(ids)))
