"""Chance levels against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.episodes import prediction

from hermes_lab.evaluation.chance import Guesser


def chance(predictions, chosen=None):
    every = np.ones(len(predictions), dtype=bool) if chosen is None else np.array(chosen)
    return Guesser(predictions).chance(every)


def choice(answer, *others, **more):
    return prediction(False, answer=answer, options=(*others, answer), **more)


def words(answer, **more):
    return prediction(False, answer=answer, options=(), **more)


@pytest.mark.parametrize("num_options", [2, 4, 7])
def test_where_no_answer_is_frequent_it_is_one_over_the_number_of_options(num_options):
    answers = [f"answer {k}" for k in range(num_options)]
    given = [choice(answer, *(other for other in answers if other != answer)) for answer in answers]
    assert chance(given) == pytest.approx(1 / num_options)


def test_the_most_frequent_answer_is_taken_wherever_it_is_offered():
    # "a" is true twice; offered and wrong once; not offered once, where one in two is guessed.
    given = [choice("a", "b", "c"), choice("a", "c", "b"), choice("b", "a", "c"), choice("c", "b")]
    assert chance(given) == pytest.approx((1 + 1 + 0 + 1 / 2) / 4)


def test_the_better_of_both_ways():
    # Going for "a": 1, 1, 0, 0, 0 of five; evenly: one in two.
    given = [choice("a", "b"), choice("a", "c"), choice("b", "a"), choice("c", "a"), choice("d", "a")]
    assert chance(given) == pytest.approx(0.5)


def test_case_and_full_stops_do_not_make_answers_different():
    given = [choice("Yes.", "no"), choice("yes", "no"), choice("no", "yes")]
    assert chance(given) == pytest.approx(2 / 3)


def test_open_questions_get_the_most_frequent_answer():
    assert chance([words("a"), words("A."), words("b"), words("c")]) == pytest.approx(2 / 4)


def test_options_that_were_not_shown_do_not_count():
    given = [prediction(False, answer=answer, short=True) for answer in ("red cross", "red cross", "nothing")]
    assert chance(given) == pytest.approx(2 / 3)


def test_the_guesser_knows_the_kind():
    given = [
        words("a", kind="one"),
        words("a", kind="one"),
        words("b", kind="other"),
        words("b", kind="other"),
    ]
    assert chance(given) == 1.0
    assert chance([*given, choice("a", "b", "c", "d", kind="one")]) == pytest.approx((4 + 1) / 5)


def test_frequent_answers_are_those_of_the_whole_run():
    # Of "b" alone: going for "a" is never right, so it is guessed evenly.
    given = [choice("a", "b"), choice("a", "b"), choice("a", "b"), choice("b", "a")]
    assert chance(given) == pytest.approx(3 / 4)
    assert chance(given, [False, False, False, True]) == pytest.approx(1 / 2)
    assert chance(given, [True, False, False, False]) == 1.0


def test_of_equally_frequent_answers_the_better_is_taken():
    # "b" is offered everywhere and wrong twice, "c" is offered where it is true alone.
    given = [choice("b", "a"), choice("a", "b"), choice("c", "d"), choice("d", "b")]
    assert chance(given) == pytest.approx((1 / 2 + 1 / 2 + 1 + 1 / 2) / 4)
