"""Multiple choice: how options are put to a model, and which one it chose."""

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


def letter_logits(
    logits: Float[Tensor, " vocabulary"], chat: Chat, num_options: int
) -> Float[Tensor, " options"]:
    """Return the logits of the option letters as the next token after the opening."""
    ids = [chat.encode(letter)[0] for letter in ascii_uppercase[:num_options]]
    return logits[torch.tensor(ids, device=logits.device)]
