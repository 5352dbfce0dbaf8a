"""Multiple choice: how options are put to a model, and which one it chose.

Large models read lettered options and name a letter. A model whose checkpoint says so
(``multiple_choice: "text"``) is asked the bare question and speaks, with only those words that lead to an
option.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.chat import Chat

OPENING = "Best option: ("


def check_options(options: Sequence[str]) -> None:
    """Check that there are options to choose from.

    Raises:
        ValueError: fewer than 2, more than 26, or an empty one.
    """
    if isinstance(options, str) or not 2 <= len(options) <= len(ascii_uppercase):
        raise ValueError(f"options must be a list of 2 to {len(ascii_uppercase)} texts, got {options!r}")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise ValueError(f"every option must be a non-empty text, got {list(options)!r}")


def phrase(question: str, options: Sequence[str]) -> str:
    """Return the question with its options, lettered, as the paper's code asks it."""
    lines = [f"({letter}) {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([f"Question: {question}", "Options:", *lines, "Only give the best option."])


class OptionScores:
    """Narrows options down, token by token, to the one that a model says.

    Attributes:
        tokens: each option as tokens, one of the stop tokens at its end.
    """

    def __init__(self, tokens: Sequence[Sequence[int]]) -> None:
        self.tokens = [tuple(option) for option in tokens]
        self._said: tuple[int, ...] = ()

    @classmethod
    def of_letters(cls, chat: Chat, num_options: int) -> OptionScores:
        """Options named by their letters, one token each."""
        return cls([chat.encode(letter)[:1] for letter in ascii_uppercase[:num_options]])

    @classmethod
    def of_texts(cls, chat: Chat, options: Sequence[str]) -> OptionScores:
        """Options said in full."""
        stop = min(chat.stop_token_ids)
        return cls([[*chat.encode(option), stop] for option in options])

    @property
    def longest_tokens(self) -> int:
        """Most tokens that are said before one option is left."""
        return max(len(option) for option in self.tokens)

    @property
    def open_indices(self) -> list[int]:
        """Options that begin with what was said so far."""
        n = len(self._said)
        return [i for i, option in enumerate(self.tokens) if option[:n] == self._said]

    def choose(self, logits: Float[Tensor, " vocabulary"]) -> int:
        """Say the likeliest token that leads to an option, and return it."""
        n = len(self._said)
        allowed = sorted({self.tokens[i][n] for i in self.open_indices})
        token = allowed[int(logits[torch.tensor(allowed, device=logits.device)].argmax())]
        self._said += (token,)
        return token

    @property
    def is_decided(self) -> bool:
        """Whether all options still open are the same."""
        return len({self.tokens[i] for i in self.open_indices}) == 1
