"""The work of an answer: the question is prefilled, tokens are chosen, the memory is left as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.generation import Sampling, TextStream, choose_token
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.multiple_choice import OPENING, OptionScores, check_options, phrase
from hermes_stream.stream.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question made ready.

    Attributes:
        token_ids: of the question, and of what opens its answer.
        room: most tokens of the answer.
        ballot: options to choose from; None for an open question.
    """

    token_ids: tuple[int, ...]
    room: int
    ballot: OptionScores | None

    @classmethod
    def of(
        cls,
        model: VideoModel,
        question: str,
        options: Sequence[str] | None,
        *,
        text_tokens: int,
        answer_tokens: int,
    ) -> Asked:
        """Phrase a question as the model wants it, and check that it fits.

        Args:
            model: answers it.
            question: what is asked, not empty.
            options: choices; None for an open question.
            text_tokens: room for question and answer.
            answer_tokens: least that the answer needs; options may need more.

        Raises:
            CapacityError: question and answer do not fit the room.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"a question must be a non-empty text, got {question!r}")
        chat, ballot, opening = model.chat, None, ""
        if options is not None:
            check_options(options)
            if model.card.multiple_choice == "text":
                ballot = OptionScores.of_texts(chat, options)
            else:
                ballot = OptionScores.of_letters(chat, len(options))
                question, opening = phrase(question, options), OPENING
            answer_tokens = max(answer_tokens, ballot.longest_tokens)
        token_ids = tuple(chat.question_ids(question, opening))
        num_asked = len(token_ids) + len(model.video_end)
        if num_asked + answer_tokens > text_tokens:
            raise CapacityError(
                f"the question takes {num_asked} tokens and its answer up to {answer_tokens}, together more "
                f"than the {text_tokens} that this session has for text; ask a shorter question, lower "
                f"max_new_tokens, or make the session with more text_tokens"
            )
        return cls(token_ids=token_ids, room=text_tokens - num_asked, ballot=ballot)

    def embeddings(self, model: VideoModel) -> Float[Tensor, "tokens hidden"]:
        """Return what enters the decoder; what closes the video goes with the question."""
        return torch.cat([model.video_end, model.embed(self.token_ids)])


def prefill_question(memory: StreamMemory, asked: Asked) -> Work[Float[Tensor, " vocabulary"]]:
    """Append a question's tokens, and get the logits of its answer's first; within ``asking``."""
    return memory.extending(asked.embeddings(memory.model))


def speak_freely(
    memory: StreamMemory, answer: Answer, asked: Asked, sampling: Sampling, pending_seconds: float
) -> Work[str]:
    """Make an answer token by token until it stops; return its text."""
    model, chat = memory.model, memory.model.chat
    generator = torch.Generator(model.layout.device).manual_seed(sampling.seed)
    text = TextStream(chat, sampling.stop)
    with memory.asking():
        logits = yield from prefill_question(memory, asked)
        while True:
            token = choose_token(logits, answer.token_ids, sampling, generator)
            if token in chat.stop_token_ids:
                answer.finish_reason = "stop"
                break
            answer.token_ids.append(token)
            answer.speak([text.take(token)], pending_seconds=pending_seconds)
            if text.stopped or len(answer.token_ids) == sampling.max_new_tokens:
                answer.finish_reason = "stop" if text.stopped else "length"
                break
            logits = yield from memory.extending(model.embed([token]))
    answer.speak([text.finish()], pending_seconds=pending_seconds)
    return text.text


def choose_option(memory: StreamMemory, answer: Answer, asked: Asked, pending_seconds: float) -> Work[str]:
    """Choose an option and return it; the model's own next tokens decide, among those that lead to one."""
    ballot = asked.ballot
    assert ballot is not None
    with memory.asking():
        token = ballot.choose((yield from prefill_question(memory, asked)))
        while not ballot.is_decided:
            token = ballot.choose((yield from memory.extending(memory.model.embed([token]))))
    answer.option_index = ballot.open_indices[0]
    answer.finish_reason = "stop"
    chosen = answer.options[answer.option_index]
    answer.speak([chosen], pending_seconds=pending_seconds)
    return chosen
