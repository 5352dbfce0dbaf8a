from __future__ import annotations

import pytest

from hermes_lab.datasets.choices import add_letters, are_usable, drop_letters, find_answer, normal


@pytest.mark.parametrize("text", ["Red cross", " red cross. ", "RED CROSS .", "red cross"])
def test_texts_that_count_as_the_same(text):
    assert normal(text) == "red cross"


def test_only_one_full_stop_is_dropped():
    assert normal("etc..") == "etc."


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (["A. red", "B. blue"], ("red", "blue")),
        (["A) red", "B) blue"], ("red", "blue")),
        (["(A) red", "(B) blue"], ("red", "blue")),
        (["A.red", "B. blue"], ("red", "blue")),
        (["red", "blue"], ("red", "blue")),
        (["A. red", "blue"], ("A. red", "blue")),
        (["B. red", "A. blue"], ("B. red", "A. blue")),
        (["A. two\nlines", "B. one"], ("two\nlines", "one")),
        ([], ()),
    ],
)
def test_letters_are_dropped_where_all_have_theirs(written, plain):
    assert drop_letters(written) == plain


@pytest.mark.parametrize("num_options", range(2, 27))
def test_letters_come_and_go(num_options):
    options = tuple(f"option {k}" for k in range(num_options))
    assert drop_letters(add_letters(options)) == options


@pytest.mark.parametrize(
    ("options", "usable"),
    [
        (["a", "b"], True),
        (["a"], True),
        ([], False),
        (["a", " "], False),
        (["a"] * 26, True),
        (["a"] * 27, False),
    ],
)
def test_what_can_be_chosen_from(options, usable):
    assert are_usable(options) == usable


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("blue", 1),
        ("Blue.", 1),
        ("B. blue", 1),
        ("B", 1),
        ("(B)", 1),
        ("B.", 1),
        ("C", None),
        ("green", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("is_letter", [False, True])
def test_answers_are_found_by_text_and_by_letter(answer, index, is_letter):
    assert find_answer(answer, ["red", "blue"], is_letter=is_letter) == index


def test_an_answer_that_could_be_letter_or_text():
    options = ["B", "A", "D", "C"]
    assert find_answer("B", options, is_letter=False) == 0
    assert find_answer("B", options, is_letter=True) == 1
    assert find_answer("E", options, is_letter=True) is None
