"""A question made ready for a model: its tokens, and the options that it leaves to choose from.

Large models read lettered options and name a letter. A model whose checkpoint says so
(``multiple_choice: "text"``) is asked the bare question and says an option in full, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import CapacityError
from hermes_stream.memory.constants import sent
from hermes_stream.models.base import VideoModel
from hermes_stream.models.chat import Chat

ANSWER_OPENING = "Best option: ("


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as the model reads it.

    Attributes:
        token_ids: of the question, and of what opens its answer.
        max_answer_tokens: tokens of the answer, at most.
        options: tokens that lead to each option, the model's stop token included; None for an open question.
    """

    token_ids: tuple[int, ...]
    max_answer_tokens: int
    options: tuple[tuple[int, ...], ...] | None

    @classmethod
    def phrase(
        cls,
        model: VideoModel,
        text: str,
        options: Sequence[str] | None,
        *,
        text_tokens: int,
        answer_tokens: int,
    ) -> Question:
        """Phrase a question as the model wants it, and check that it fits.

        Args:
            model: answers it.
            text: what is asked, not empty.
            options: choices; None for an open question.
            text_tokens: room for question and answer.
            answer_tokens: tokens that the answer needs at least; options may need more.

        Raises:
            CapacityError: question and answer do not fit the room.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"a question must be a non-empty text, got {text!r}")
        chat, option_ids, opening = model.chat, None, ""
        if options is not None:
            check_options(options)
            if model.card.multiple_choice == "text":
                option_ids = options_in_full(chat, options)
            else:
                option_ids = options_by_letter(chat, len(options))
                text, opening = with_lettered_options(text, options), ANSWER_OPENING
            answer_tokens = max(answer_tokens, *map(len, option_ids))
        token_ids = tuple(chat.question_ids(text, opening))
        num_tokens = len(token_ids) + len(model.video_end)
        if num_tokens + answer_tokens > text_tokens:
            raise CapacityError(
                f"the question takes {num_tokens} tokens and its answer up to {answer_tokens}, together more "
                f"than the {text_tokens} that this session has for text; ask a shorter question, lower "
                f"max_new_tokens, or make the session with more text_tokens"
            )
        return cls(token_ids=token_ids, max_answer_tokens=text_tokens - num_tokens, options=option_ids)

    def num_tokens(self, model: VideoModel, max_new_tokens: int | None) -> int:
        """Return what question and answer take together, at most; None lets the answer take all the room."""
        answer_tokens = min(max_new_tokens or self.max_answer_tokens, self.max_answer_tokens)
        answer_tokens = max(answer_tokens, *map(len, self.options or ((),)))
        return len(self.token_ids) + len(model.video_end) + answer_tokens

    def embeddings(self, model: VideoModel) -> Float[Tensor, "tokens hidden"]:
        """Return what enters the decoder; what closes the video goes with the question."""
        return torch.cat([model.video_end, model.embed(self.token_ids)])


class OptionChoice:
    """Narrows options down, token by token, to the one that the model's own tokens lead to.

    Args:
        options: each option as tokens.

    Attributes:
        share: how likely the model finds the tokens chosen so far, among those that lead to an option.
        runner_up: index of the option that was next best where they were least ahead.
    """

    def __init__(self, options: Sequence[tuple[int, ...]]) -> None:
        self._options = options
        self._chosen_ids: tuple[int, ...] = ()
        self.share = self._lead = 1.0
        self.runner_up = 0

    def choose_token(self, logits: Float[Tensor, " vocabulary"]) -> int:
        """Choose the likeliest token that leads to an option still open, and return it."""
        n = len(self._chosen_ids)
        allowed = sorted({self._options[i][n] for i in self.open_indices})
        # In host memory, so that the host waits once for what it asks about them.
        scores = logits[sent(torch.tensor(allowed), logits.device)].cpu()
        best = int(scores.argmax())
        self._note_shares(scores.softmax(dim=-1).tolist(), allowed, best)
        self._chosen_ids += (allowed[best],)
        return allowed[best]

    def _note_shares(self, shares: list[float], allowed: list[int], best: int) -> None:
        self.share *= shares[best]
        others = [index for index in range(len(allowed)) if index != best]
        if not others:
            return
        second = max(others, key=shares.__getitem__)
        if shares[best] - shares[second] <= self._lead:
            n = len(self._chosen_ids)
            self._lead = shares[best] - shares[second]
            self.runner_up = next(i for i in self.open_indices if self._options[i][n] == allowed[second])

    @property
    def open_indices(self) -> list[int]:
        """Options that begin with the tokens chosen so far."""
        n = len(self._chosen_ids)
        return [i for i, option in enumerate(self._options) if option[:n] == self._chosen_ids]

    @property
    def is_decided(self) -> bool:
        """Whether all options still open are the same."""
        return len({self._options[i] for i in self.open_indices}) == 1


def check_options(options: Sequence[str]) -> None:
    """Check that there are options to choose from.

    Raises:
        ValueError: fewer than 2, more than 26, an empty one, or one twice.
    """
    if isinstance(options, Mapping):
        raise ValueError(
            f"options must be a list of texts, got a {type(options).__name__}; the prompt puts letters "
            "before them: give list(options.values())"
        )
    if isinstance(options, str) or not 2 <= len(options) <= len(ascii_uppercase):
        raise ValueError(f"options must be a list of 2 to {len(ascii_uppercase)} texts, got {options!r}")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise ValueError(f"every option must be a non-empty text, got {list(options)!r}")
    if len(set(options)) < len(options):
        raise ValueError(f"every option must stand there once, got {list(options)!r}; leave twins out")


def with_lettered_options(question: str, options: Sequence[str]) -> str:
    """Return the question with its options, lettered, as the paper's code asks it."""
    lines = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([f"Question: {question}", "Options:", *lines, "Only give the best option."])


def options_by_letter(chat: Chat, num_options: int) -> tuple[tuple[int, ...], ...]:
    """Return options named by their letters, one token each."""
    return tuple(tuple(chat.encode(letter)[:1]) for letter in ascii_uppercase[:num_options])


def options_in_full(chat: Chat, options: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return options said in full; the stop token tells one that begins like another apart."""
    stop = min(chat.stop_token_ids)
    return tuple((*chat.encode_user_text(option), stop) for option in options)
