"""Official scorers against what the benchmarks' own rules say of a response; strict ones against sense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.lab.episodes import question

from hermes_lab.evaluation import Prediction, Reply, scorer
from hermes_lab.evaluation.grading import grade
from hermes_lab.evaluation.task_averages import averages

OPTIONS = ("a pan", "a pot", "a lid", "a cup")


def given(text, *, answer="a pot", options=OPTIONS, index=None, at=2.0, shown=True, **more):
    asked = replace(question(options=options, answer=answer), **more)
    return Prediction(
        video="v",
        question=asked,
        reply=Reply(text=text, option_index=index, options_shown=shown),
        at_seconds=at,
    )


@pytest.mark.parametrize(
    ("text", "strict", "ovo", "streamingbench", "unified", "videomme", "candidates"),
    [
        ("B", True, True, True, True, True, True),
        ("B. a pot", True, True, True, True, True, True),
        ("(B) a pot", True, True, False, True, True, True),
        ("b", False, False, False, False, False, True),
        (" B", True, True, False, True, True, True),
        ("a pot", True, False, False, False, False, True),
        ("A Big lid", False, True, False, False, False, False),
        ("But A", False, True, True, True, True, False),
        ("The answer is B", True, True, False, False, True, False),
        ("A man with a Big pot", False, True, False, False, False, False),
        ("It is a pot.", False, False, False, False, False, True),
        ("A", False, False, False, False, False, False),
        ("", False, False, False, False, False, False),
    ],
)
def test_a_choice_in_words(text, strict, ovo, streamingbench, unified, videomme, candidates):
    said = {
        name: scorer("official", dialect=name)(given(text))
        for name in ("ovo", "streamingbench", "unified", "videomme", "candidates")
    }
    expected = {"ovo": ovo, "streamingbench": streamingbench, "unified": unified}
    assert said == expected | {"videomme": videomme, "candidates": candidates}
    assert scorer("strict", dialect="ovo")(given(text)) is strict


@pytest.mark.parametrize("dialect", ["ovo", "streamingbench", "unified", "videomme", "candidates", "oasis"])
@pytest.mark.parametrize("name", ["strict", "official"])
def test_a_choice_by_its_index(dialect, name):
    assert scorer(name, dialect=dialect)(given("whatever", index=1)) is True
    assert scorer(name, dialect=dialect)(given("whatever", index=0)) is False


def test_an_annotated_letter_that_no_option_has_may_still_be_said():
    one = replace(given("E"), question=replace(question(options=OPTIONS, answer="a pot"), answer_index=None))
    assert scorer("strict", dialect="streamingbench")(one) is False
    lettered = replace(one, question=replace(one.question, answer="E"))
    assert scorer("official", dialect="streamingbench")(lettered) is True


@pytest.mark.parametrize(
    ("text", "strict", "official"),
    [
        ("2", True, True),
        (" 2. ", True, True),
        ("2 times", False, True),
        ("1 or 2", False, False),
        ("", False, False),
    ],
)
def test_numbers(text, strict, official):
    one = given(text, options=(), answer="2", form="number")
    assert scorer("strict", dialect="ovo")(one) is strict
    assert scorer("official", dialect="ovo")(one) is official
    assert scorer("official", dialect="ovo")(given("1 and 2", options=(), answer="12", form="number"))


@pytest.mark.parametrize(
    ("text", "truth", "strict", "official"),
    [
        ("Yes", "Yes", True, True),
        ("yes.", "Yes", True, False),
        ("Y", "Yes", True, True),
        ("N", "No", True, True),
        ("No", "Yes", False, False),
        ("Nothing", "No", False, True),
        ("I say Yes", "Yes", False, True),
        ("No", "No", True, True),
    ],
)
def test_yes_and_no(text, truth, strict, official):
    one = given(text, options=(), answer=truth, form="yes_no")
    assert scorer("strict", dialect="ovo")(one) is strict
    assert scorer("official", dialect="ovo")(one) is official


@pytest.mark.parametrize(
    ("text", "at", "is_right"),
    [
        ("go", 29.0, True),
        ("I say go", 31.0, True),
        ("go", 26.9, False),
        ("go", 31.5, False),
        ("", 29.0, False),
    ],
)
@pytest.mark.parametrize("name", ["strict", "official"])
def test_proactive(name, text, at, is_right):
    one = given(text, options=(), answer="go", form="proactive", due_seconds=29.0, at=at)
    assert scorer(name, dialect="streamingbench")(one) is is_right


def test_words_are_for_a_judge():
    one = given("A POT.", options=(), answer="a pot")
    assert scorer("strict", dialect="unified")(one) is True
    assert scorer("official", dialect="unified")(one) is None
    assert scorer("official", dialect="unified")(given("a pot", shown=False)) is True


def test_without_a_truth_nobody_can_tell():
    one = given("A")
    one = replace(one, question=replace(one.question, answer="", answer_index=None))
    graded = grade([one, given("B")], scorer("strict", dialect="egoschema"))
    assert (graded.rights, graded.unscored) == ([True], [one])
    assert scorer("official", dialect="egoschema")(one) is None


def test_no_such_scorer():
    with pytest.raises(ValueError, match="no scorer 'kind'; choose one of strict, official"):
        scorer("kind", dialect="ovo")


def test_both_averages_of_ovo():
    rights = {"EPM": [True, False], "ASI": [True], "OCR": [True, True, False, False], "REC": [False, True]}
    found = averages(rights)
    assert found["questions"] == pytest.approx(5 / 9)
    assert found["tasks"] == pytest.approx((0.5 + 1 + 0.5 + 0.5) / 4)
    assert found["ovo_backward"] == pytest.approx(0.75)
    assert (found["ovo_realtime"], found["ovo_forward"]) == (0.5, 0.5)
    assert found["ovo"] == pytest.approx((0.75 + 0.5 + 0.5) / 3)
    assert found["ovo_realtime_backward"] == pytest.approx(0.625)


def test_averages_of_parts():
    assert set(averages({"EPM": [True], "OCR": [True]})) == {
        "questions",
        "tasks",
        "ovo_backward",
        "ovo_realtime",
        "ovo_realtime_backward",
    }
    assert set(averages({"EPM": [True], "Counting": [True]})) == {"questions", "tasks"}
    assert averages({"EPM": []}) == {}
