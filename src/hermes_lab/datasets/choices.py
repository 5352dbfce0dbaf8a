"""Options of multiple choice as annotations write them, with letters or without, and the right one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

LETTERS = ascii_uppercase

_LETTERED = re.compile(r"\s*\(?([A-Z])[.):]\s*(.*)", re.DOTALL)
_LETTER = re.compile(r"\s*\(?([A-Z])[.):]?\s*")


def normal(text: str) -> str:
    """Return a text as answers are compared: lower case, no spaces around it, no full stop at its end."""
    return text.strip().removesuffix(".").rstrip().lower()


def add_letters(options: Sequence[str]) -> list[str]:
    """Write options as ``A. ...``, ``B. ...``."""
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def drop_letters(options: Sequence[str]) -> tuple[str, ...]:
    """Remove the letters of options that all have theirs, in order; leave others as they are."""
    found = [_LETTERED.fullmatch(option) for option in options]
    letters = "".join(match[1] for match in found if match)
    if letters != LETTERS[: len(options)]:
        return tuple(options)
    return tuple(match[2] for match in found if match)


def without_blanks(options: Sequence[str]) -> tuple[str, ...]:
    """Return options with no blank one among them; the others keep their letters.

    Blanks between lettered options, and at the end, are no options at all. Any other stays as a dash, so that
    letters and indices after it mean what they meant.

    Args:
        options: as annotated, with letters or without.
    """
    there = [option for option in options if option.strip()]
    texts = list(drop_letters(there))
    if tuple(texts) == tuple(there):
        texts = list(drop_letters(options))
    while texts and not texts[-1].strip():
        texts.pop()
    if not any(text.strip() for text in texts):
        return ()
    blanks = [k for k, text in enumerate(texts) if not text.strip()]
    for number, k in enumerate(blanks, 1):
        texts[k] = "-" * number  # no two alike
    return tuple(texts)


def are_usable(options: Sequence[str]) -> bool:
    """Say whether options can be named by letters: 1 to 26 of them, none empty."""
    return 1 <= len(options) <= len(LETTERS) and all(option.strip() for option in options)


def find_answer(answer: str, options: Sequence[str], *, is_letter: bool) -> int | None:
    """Return which option an answer is, None if it is none of them.

    Args:
        answer: a letter, or the text of an option with its letter or without.
        options: texts without letters.
        is_letter: whether an answer that could be either is a letter, not a text.
    """
    by_letter, by_text = _index_of_letter(answer, len(options)), _index_of_text(answer, options)
    first, second = (by_letter, by_text) if is_letter else (by_text, by_letter)
    return second if first is None else first


def _index_of_letter(answer: str, num_options: int) -> int | None:
    match = _LETTER.fullmatch(answer)
    index = LETTERS.index(match[1]) if match else num_options
    return index if index < num_options else None


def _index_of_text(answer: str, options: Sequence[str]) -> int | None:
    if answer in options:
        return options.index(answer)
    texts = [normal(option) for option in options]
    if normal(answer) in texts:
        return texts.index(normal(answer))
    lettered = [normal(option) for option in add_letters(options)]
    return lettered.index(normal(answer)) if normal(answer) in lettered else None
