"""Which words of a text a checkpoint's vocabulary holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Return the words of a text that a vocabulary does not hold, each once, in the order of the text.

    A vocabulary of whole words reads them all as the same token. One of pieces of words spells any word, and
    so knows all.

    Args:
        tokenizer: the checkpoint's own.
        text: a question of a user.
    """
    unknown_id = tokenizer.unk_token_id
    if unknown_id is None or not tokenizer.is_fast:  # only fast tokenizers say where a token stood
        return []
    # Special tokens are plain text here. Told so, the tokenizer would read so for other threads as well.
    for mark in (str(one) for one in tokenizer.added_tokens_decoder.values() if one.special):
        text = text.replace(mark, f"{mark[:1]} {mark[1:]}")
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    found: dict[str, str] = {}
    for token_id, (start, end) in zip(read.input_ids, read.offset_mapping, strict=True):
        word = text[start:end]
        if token_id == unknown_id and word.isalnum():
            found.setdefault(word.casefold(), word)
    return list(found.values())


def unknown_words_told(words: Sequence[str], model_name: str) -> str:
    """Say that a model does not know words.

    Args:
        words: at least one.
        model_name: of the model's card.
    """
    *others, last = map(repr, words)
    named = f"{', '.join(others)} and {last} are no words" if others else f"{last} is no word"
    return f"{named} that {model_name} knows"
