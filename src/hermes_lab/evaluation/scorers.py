"""Which responses are right: strictly, or as a benchmark's own code has it.

A scorer returns True or False; None for a question without a truth, and for an open answer if the benchmark
leaves those to a judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Literal

from hermes_lab.datasets.choices import LETTERS, normal
from hermes_lab.evaluation.predictions import Prediction
from hermes_lab.evaluation.strict_reading import is_readable, read_letter, read_number, read_yes_no

Scorer = Callable[[Prediction], bool | None]
ScorerName = Literal["strict", "official"]
SCORERS: tuple[ScorerName, ...] = ("strict", "official")

PROACTIVE_SECONDS = 2.0
"""How far from the right moment a proactive answer may come."""

_LEADS = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)


def scorer(name: str, *, dialect: str) -> Scorer:
    """Return a scorer.

    Args:
        name: one of ``SCORERS``.
        dialect: of the annotations; the official scorer is that of its benchmark.

    Raises:
        ValueError: there is no such scorer.
    """
    if name not in SCORERS:
        raise ValueError(f"there is no scorer {name!r}; choose one of {', '.join(SCORERS)}")
    if name == "strict":
        return strict
    return partial(_graded, rule=partial(_officially, chooses=_CHOOSES.get(dialect, _before_bracket)))


def reader(name: str) -> Callable[[Prediction], bool]:
    """Return what says whether a scorer can tell what a response says; an official one always decides."""
    return is_readable if name == "strict" else lambda one: one.reply.is_readable


def strict(one: Prediction) -> bool | None:
    """Say whether the response names the right letter and no other, or is the truth itself."""
    return _graded(one, _strictly)


def _graded(one: Prediction, rule: Scorer) -> bool | None:
    """Apply a rule to what can be graded by one; proactive answers have the same everywhere."""
    if not one.question.has_truth:
        return None
    if not one.reply.is_readable:
        return False
    if one.question.form == "proactive":
        return is_in_time(one) and has_output(one)
    return rule(one)


def _strictly(one: Prediction) -> bool:
    question, text = one.question, one.reply.text
    if one.is_choice:
        index = one.reply.option_index
        named = read_letter(text, question.options) if index is None else LETTERS[index]
        return named == _right_letter(one)
    if question.form == "number":
        return read_number(text) == int(question.answer)
    if question.form == "yes_no":
        return read_yes_no(text) == question.answer[0].lower()
    return normal(text) == normal(question.answer)


def _officially(one: Prediction, *, chooses: Callable[[str, str, Prediction], bool]) -> bool | None:
    question, text = one.question, one.reply.text
    if one.is_choice:
        index = one.reply.option_index
        return chooses(text if index is None else LETTERS[index], _right_letter(one), one)
    if question.form == "number":
        return "".join(re.findall(r"\d+", text)) == question.answer
    if question.form == "yes_no":
        return text == question.answer[0] or question.answer in text
    return None if not question.options else normal(text) == normal(question.answer)


def _right_letter(one: Prediction) -> str:
    index = one.question.answer_index
    return one.question.answer.strip() if index is None else LETTERS[index]


def is_in_time(one: Prediction) -> bool:
    """Say whether a proactive answer came near enough to the right moment, whatever it said."""
    due_seconds = one.question.due_seconds
    if due_seconds is None or not one.reply.text:
        return False
    return abs(one.at_seconds - due_seconds) <= PROACTIVE_SECONDS


def has_output(one: Prediction) -> bool:
    """Say whether a proactive answer holds what it was to put out, whenever it came."""
    return one.question.answer in one.reply.text


def _contains(text: str, letter: str, _: Prediction) -> bool:
    """OVO-Bench: the letter is anywhere in the response."""
    return letter in text


def _begins(text: str, letter: str, _: Prediction) -> bool:
    """StreamingBench: the letter is the first character."""
    return text[:1] == letter


def _before_bracket(text: str, letter: str, _: Prediction) -> bool:
    """ReKV and HERMES: the letter is before the first bracket, else the first character."""
    text = text.strip()
    end = text.find(")")
    return (text[end - 1 : end] if end > 0 else text[:1]) == letter


def _mentions_first(text: str, letter: str, _: Prediction) -> bool:
    """Video-MME: the letter is the first capital A to D after phrases that lead to an answer."""
    for lead in _LEADS:
        text = text.replace(lead, "")
    match = re.search("[ABCD]", text)
    return bool(match and match[0] == letter)


def _names_or_quotes(text: str, letter: str, one: Prediction) -> bool:
    """MVBench: the first word is the letter, or the option's text is in the response."""
    first = re.sub(r"[^a-z]", "", (text.lower().split() or [""])[0])
    return first == letter.lower() or normal(one.question.answer) in text.lower()


_CHOOSES: dict[str, Callable[[str, str, Prediction], bool]] = {
    "ovo": _contains,
    "streamingbench": _begins,
    "streamingbench_table": _begins,
    "videomme": _mentions_first,
    "candidates": _names_or_quotes,
}
