"""The question of a measurement of speed, of a chosen length, and a model that never stops answering."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import cycle

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel

_WORDS = ("what", "is", "on", "screen", "now", "and", "what", "came", "first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What every stream is asked.

    Attributes:
        question: its text.
        num_tokens: of the question, with all that the chat template puts around it.
        new_tokens: of each answer, at least 2.
    """

    question: str
    num_tokens: int
    new_tokens: int


def find_question(model: VideoModel, *, question_tokens: int, new_tokens: int) -> Asking:
    """Return a question of so many tokens, or of as few as the chat template leaves.

    Args:
        model: whose tokens are counted.
        question_tokens: of the question, with all that the chat template puts around it.
        new_tokens: of each answer, at least 2.

    Raises:
        CapacityError: question and answer do not fit the room for text.
    """
    room, words = text_tokens_of(model), cycle(_WORDS)
    question = next(words)
    while (count := _num_tokens(model, question)) < min(question_tokens, room):
        question += f" {next(words)}"
    asked = max(count, question_tokens)
    if asked + new_tokens > room:
        raise CapacityError(
            f"a question of {asked} tokens and an answer of {new_tokens} do not fit the {room} that a stream "
            f"of {model.card.name!r} has for text; lower question_tokens or new_tokens"
        )
    return Asking(question=question, num_tokens=count, new_tokens=new_tokens)


def _num_tokens(model: VideoModel, question: str) -> int:
    return len(model.chat.question_ids(question)) + len(model.video_end)


def text_tokens_of(model: VideoModel) -> int:
    """Return the room for question and answer of a usual session."""
    return min(2048, model.layout.max_positions // 8)


def never_stopping(model: VideoModel) -> VideoModel:
    """Return the model with a chat that knows no end of an answer, so that all answers are as long."""
    model = copy.copy(model)
    model.chat = replace(model.chat, stop_token_ids=frozenset())
    return model
