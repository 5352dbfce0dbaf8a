"""What is asked to know whether a tag is in the picture: the tag in a question, with its article."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hermes_stream.models.base import VideoModel
from hermes_stream.models.vocabulary import unknown_words

IS_THERE = ("{Is} there {tag} in the picture now?", "{is} there {tag} now?")
"""Questions in words for large models first, then in words that small vocabularies have."""

_ARTICLE = re.compile(
    "an?|the|any|some|no|one|1|this|that|each|every|another|my|your|his|her|its|our|their", re.IGNORECASE
)
_NUMBER = re.compile(
    r"two|three|four|five|six|seven|eight|nine|ten|\d+|these|those|many|several", re.IGNORECASE
)
# what stands behind the noun: "person with glasses" is one person
_BEHIND = re.compile(
    "with(out)?|in|on|of|at|by|near|under|over|behind|before|beside|wearing|holding", re.IGNORECASE
)
_SEVERAL = re.compile(r"people|(wo)?men|children|\w{2,}[^sui]s", re.IGNORECASE)
_VOWEL = re.compile(
    r"hour|honou?r|honest|heir|(?!uni[cfoqtv]|us[eu]|uten|eu|ewe|one|once)[aeiou]", re.IGNORECASE
)
_LETTERS_SAID_EM = "AEFHILMNORSX"


def tag_question(model: VideoModel, tag: str, is_there: str | None = None) -> str:
    """Return what is asked to know whether a tag is in the picture.

    Args:
        model: is asked.
        tag: such as "slide", "a slide", "red cars"; one without an article is given the one that fits.
        is_there: the question, with ``{tag}`` for the tag as it stands; None takes words that the model has.
    """
    if is_there is not None:
        return is_there.replace("{tag}", tag)
    verb, noun = _asked(tag.split())
    said = {"Is": verb, "is": verb.lower(), "tag": noun}
    return known_question(model, [text.format(**said) for text in IS_THERE])


def known_question(model: VideoModel, texts: Sequence[str]) -> str:
    """Return the first question whose words a model's vocabulary has; the last where it has none's."""
    return next((text for text in texts if not unknown_words(model.chat.tokenizer, text)), texts[-1])


def _asked(words: list[str]) -> tuple[str, str]:
    """Return the verb and the tag with what belongs before it."""
    text = " ".join(words)
    if _ARTICLE.fullmatch(words[0]):
        return "Is", text
    head = next((k for k, word in enumerate(words) if k and _BEHIND.fullmatch(word)), len(words))
    if _NUMBER.fullmatch(words[0]) or _SEVERAL.fullmatch(words[head - 1]):
        return "Are", text
    return "Is", f"{'an' if _begins_with_a_vowel(words[0]) else 'a'} {text}"


def _begins_with_a_vowel(word: str) -> bool:
    if len(word) > 1 and word.isupper():  # its letters are said one by one
        return word[0] in _LETTERS_SAID_EM
    return _VOWEL.match(word) is not None
