"""What the strict scorer reads: letters in the forms that models give them, and never one of two."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hermes_lab.datasets.choices import LETTERS
from hermes_lab.evaluation.strict_reading import read_letter, read_number, read_yes_no

OPTIONS = ("a pan", "a pot", "a lid", "a cup")
FORMS = (
    "{}",
    " {} ",
    "{}.",
    "{})",
    "({})",
    "[{}]",
    "**{}**",
    "`{}`",
    '"{}"',
    r"\boxed{{{}}}",
    r"$\boxed{{\text{{{}}}}}$",
    "<answer>{}</answer>",
    "<think>A or B? Not C.</think> {}",
    "Answer: {}",
    "**Answer:** {}",
    "answer:\n{}",
    "The answer is {}.",
    "The best option is: ({})",
    "So the correct answer is {}",
    "Option {}",
    "option ({})",
    "I would choose {}.",
    "{} is correct.",
    "{}\nIt is on the table.",
    "{} because it is on the table",
    "{}: it is on the table",
    "\uff08{}\uff09",
)
PAIRS = (
    "{} or {}",
    "{} and {}",
    "{}, {}",
    "{}/{}",
    "{} {}",
    "{}. {}.",
    "({}) ({})",
    "({}) {}",
    "{} (not {})",
    "{} because {} is wrong",
    "{}. It cannot be {}",
    "{}\n{}",
    "**{}** or **{}**",
    r"\boxed{{{}, {}}}",
    r"\boxed{{{}}} \boxed{{{}}}",
    "Answer: {} or {}",
    "Option {}; option {} is wrong",
    "Neither {} nor {}",
    "Not {} but {}",
    "{} - or {}?",
    "The answer is {}, the other would be {}.",
    "Both {} and {} are right.",
)
letters = st.sampled_from(LETTERS[:4])
words = st.lists(st.sampled_from(["the", "man", "is", "red", "seen", "here", "it", "on"]), max_size=6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("letter", "ABCD")
def test_a_letter_is_read_in_every_usual_form(form, letter):
    assert read_letter(form.format(letter), OPTIONS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("a pot", "B"),
        ("A POT.", "B"),
        ("Answer: a pot", "B"),
        ("B. a pot", "B"),
        ("B a pot", "B"),
        ("(B) a pot", "B"),
        ("B. A man holds it", "B"),
        ("E", "E"),
        ("A man walks", None),
        ("A-frame", None),
        ("I see a pot", None),
        ("B. a pan", None),
        ("a pan or a pot", None),
        ("AB", None),
        ("b", None),
        ("Both", None),
        ("Not B", None),
        ("maybe B", None),
        ("None of them", None),
        ("", None),
    ],
)
def test_texts_and_what_is_no_letter(text, letter):
    assert read_letter(text, OPTIONS) == letter


def test_a_letter_that_is_the_text_of_another_option_says_nothing():
    assert read_letter("B", ("B", "A", "D", "C")) is None
    assert read_letter("B", ("A", "B")) == "B"
    assert read_letter("A man", ("a dog", "A man")) == "B"
    assert read_letter("B. Vitamin C", ("Vitamin A", "Vitamin C", "water")) == "B"


@settings(max_examples=1000)
@given(letters, letters, st.sampled_from(PAIRS), words, words)
@example("B", "A", "{}. {}.", [], [])
@example("B", "A", "({}) {}", [], ["the"])
def test_a_text_that_names_two_letters_is_not_taken_for_one(one, other, form, before, after):
    text = " ".join([*before, form.format(one, other), *after])
    assert read_letter(text, OPTIONS) is None or one == other


@given(words, letters, words)
def test_what_is_read_is_what_is_named(before, letter, after):
    assert read_letter(" ".join([*before, letter, *after]), OPTIONS) in (letter, None)


@given(st.text(max_size=200))
@example("<think>" * 20_000)
@example("2" + " " * 50_000 + "x")
@example("\\boxed{" * 10_000)
@example("the answer " + " " * 50_000 + "x")
@example("A " * 30_000)
def test_any_text_is_read_at_once(text):
    began = time.perf_counter()
    assert read_letter(text, OPTIONS) in (*LETTERS, None)
    read_number(text)
    read_yes_no(text)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", 2), (" 2. ", 2), ("**2**", 2), ("Answer: 2", 2), (r"\boxed{12}", 12), ("The answer is 2.", 2)]
    + [(text, None) for text in ("2 times", "1 or 2", "2.5", "-2", "1,000", "two", "", "2" * 5000)],
)
def test_numbers(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "word"),
    [("Yes", "y"), ("no.", "n"), ("Y", "y"), ("**No**", "n"), ("Answer: yes", "y"), ("No, not yet", "n")]
    + [(text, None) for text in ("yes or no", "Y/N", "No. Yes.", "Nothing", "not yet", "I say yes", "")],
)
def test_yes_and_no(text, word):
    assert read_yes_no(text) == word
