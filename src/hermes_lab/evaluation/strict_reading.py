r"""What a response says, read strictly: one letter, one number, yes or no; None where it cannot be told.

A response that names two letters, or a letter beside the text of another option, says nothing. "A man" does
not name option A. Markup around an answer is dropped first: ``**B**``, ``\boxed{B}``, ``<answer>B</answer>``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from hermes_lab.datasets.choices import LETTERS, normal
from hermes_lab.evaluation.predictions import Prediction

_END_OF_THOUGHTS = ("</think>", "</thinking>")
_COMMAND = re.compile(r"\\[a-z]+\s*\{([^{}]*)\}")
_TAG = re.compile(r"</?[a-z_]{1,20}>", re.IGNORECASE)
_MARKS = str.maketrans("\u3010\u3011\u2019", "[]'", '*`$#"\u201c\u201d')
_LEAD = re.compile(
    r"\s*(?:(?:so|thus|therefore|hence)\b[,:]?\s+)?"
    r"(?:i(?:\s+would|'d)?\s+(?:choose|pick|select)\s+(?:that\s+)?)?"
    r"(?:(?:the|my)\s+)?(?:(?:single|best|correct|right|final|most\s+likely)\s+){0,2}"
    r"(?:(?:answer|option|choice|letter)\b\s*)?(?:(?:to|for)\s+(?:the|this)\s+question\s*)?"
    r"(?:(?:is|would\s+be|must\s+be|should\s+be)\b)?\s*[:=]?\s*(?:(?:the\s+)?(?:option|choice|letter)\b\s*:?\s*)?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"([(\[{]?)\s*([A-Z])\s*([)\]}]?)(?![A-Za-z0-9'])(?!-\w)")
# After a letter without brackets: a stop, a dash, a new line, or a word that goes on from it.
_STOP = re.compile(r"\s*(?:$|[.:,;!)\]}]|[-\u2013\u2014]\s|\n)|\s+(?:is|because|since|as)\b")
_SEPARATORS = " \t\r\n.:,;!()[]{}-\u2013\u2014"
_NAMED = re.compile(r"(?<![A-Za-z0-9'])(?<!\w-)([A-Za-z])(?![A-Za-z0-9'])(?!-\w)")
_LINKS = "is|are|was|were|would|seems|looks|and|or|nor|not|but|vs|versus|than|because|since|as|to"
_BEFORE_A_WORD = re.compile(rf"\s+(?!(?:{_LINKS})\b)[a-z]")
_BEGINS_SENTENCE = re.compile(r"[.:!?] $")
_NUMBER = re.compile(r"(\d{1,18})\s*\.?")
_YES_NO = re.compile(r"\W*(yes|no|y|n)\b", re.IGNORECASE)
_ANY_YES_NO = re.compile(r"\b(yes|no|y|n)\b", re.IGNORECASE)


def is_readable(one: Prediction) -> bool:
    """Say whether it can be told what a response says; silence is read as no answer."""
    question, text = one.question, one.reply.text
    if not one.reply.is_readable:
        return False
    if one.reply.option_index is not None or not text.strip():
        return True
    if one.is_choice:
        return read_letter(text, question.options) is not None
    if question.form == "number":
        return read_number(text) is not None
    return question.form != "yes_no" or read_yes_no(text) is not None


def read_letter(text: str, options: Sequence[str]) -> str | None:
    """Return the letter that a response names, be it offered or not; an option's very text names that option.

    Args:
        text: the response.
        options: texts without letters.
    """
    plain, options = _plain(text), [_plain(option) for option in options]
    answer = plain[_end_of_lead(plain) :]
    quoted = {own for said in (plain, answer) if (own := _quoted(said, options)) is not None}
    named = _named_at_head(answer, options)
    found = quoted | ({named} if named is not None else set())
    return found.pop() if len(found) == 1 else None


def read_number(text: str) -> int | None:
    """Return the one number that a response is."""
    plain = _plain(text)
    match = _NUMBER.fullmatch(plain, _end_of_lead(plain))
    return int(match[1]) if match else None


def read_yes_no(text: str) -> Literal["y", "n"] | None:
    """Return the first letter of the yes or the no that a response begins with, unless it says both."""
    plain = _plain(text)
    match = _YES_NO.match(plain, _end_of_lead(plain))
    if match is None or len({word[0].lower() for word in _ANY_YES_NO.findall(plain)}) > 1:
        return None
    return "y" if match[1][0].lower() == "y" else "n"


def _plain(text: str) -> str:
    """Remove markup, and what a model thought aloud before its answer."""
    for end in _END_OF_THOUGHTS:
        text = text.rpartition(end)[2]
    text = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).translate(_MARKS).replace("__", "")
    for _ in range(3):  # \boxed{\text{B}} is nested
        text = _COMMAND.sub(r" \1 ", text)
    return text.strip()


def _end_of_lead(plain: str) -> int:
    """Return where the answer begins after words such as "The best answer is"."""
    match = _LEAD.match(plain)
    return match.end() if match else 0


def _quoted(text: str, options: Sequence[str]) -> str | None:
    texts = [normal(option) for option in options]
    return LETTERS[texts.index(normal(text))] if texts.count(normal(text)) == 1 else None


def _named_at_head(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter that an answer begins with, if nothing after it names another option."""
    match = _LETTER.match(answer)
    if match is None:
        return None
    letter, rest = match[2], answer[match.end() :]
    index = LETTERS.index(letter)
    said = rest.strip(_SEPARATORS)
    if said and index < len(options) and _is_beginning(said, options[index]):
        return letter
    is_bracketed = bool(match[3])
    if not is_bracketed and not _STOP.match(rest):
        return None
    if said and normal(said) in map(normal, options):
        return None
    return letter if _named_in(rest, len(options)) <= {letter} else None


def _is_beginning(said: str, option: str) -> bool:
    """Say whether a text is that of an option, or at least two words of it where an answer was cut short."""
    is_cut = " " in said and normal(option).startswith(normal(said))
    return is_cut or normal(said) == normal(option)


def _named_in(text: str, num_options: int) -> set[str]:
    """Return the offered letters that stand alone in a text, articles and pronouns aside."""
    found = set()
    for match in _NAMED.finditer(text):
        letter = match[1].upper()
        if letter in LETTERS[:num_options] and not _is_word(match):
            found.add(letter)
    return found


def _is_word(match: re.Match[str]) -> bool:
    """Say whether a letter is the article or the pronoun; a capital A within a sentence is neither."""
    if match[1] not in "AaIi" or not _BEFORE_A_WORD.match(match.string, match.end()):
        return False
    return match[1] != "A" or bool(_BEGINS_SENTENCE.search(match.string[: match.start()][-3:]))
