from __future__ import annotations

import pytest

from hermes_lab.datasets.entry import Entry, entries_of
from hermes_stream.errors import AnnotationError


def entry(**fields):
    return Entry(fields, "[3].questions[2]")


def test_places_name_the_way_into_the_document():
    document = [{"a": 1}, [{"a": 2}, {"a": 3}]]
    assert [one.location for one in entries_of(document)] == ["[0]", "[1][0]", "[1][1]"]
    parent = Entry({"questions": [{}, {}]}, "[4]")
    assert [one.location for one in parent.entries("questions")] == ["[4].questions[0]", "[4].questions[1]"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        (3.25, 3.25),
        ("00:01:05", 65.0),
        ("1:02:03", 3723.0),
        ("02:03.5", 123.5),
        ("215", 215.0),
        ("7.5", 7.5),
        (" 0:00 ", 0.0),
    ],
)
def test_times(value, seconds):
    assert entry(time=value).seconds("time") == seconds


@pytest.mark.parametrize("value", [-1, "soon", True, float("nan"), float("inf"), [1], "1:2:3:4", "", 10**30])
def test_wrong_times_name_place_key_value_and_what_is_accepted(value):
    with pytest.raises(AnnotationError) as caught:
        entry(time=value).seconds("time")
    for part in ("[3].questions[2]", "'time'", repr(value), "HH:MM:SS"):
        assert part in str(caught.value)


def test_a_missing_key_names_those_that_are_there():
    with pytest.raises(AnnotationError, match=r"lacks 'answer' or 'gt'; it has question, options; add"):
        entry(question="?", options=[]).text("answer", "gt")
    with pytest.raises(AnnotationError, match="no key at all"):
        entry().text("answer")


def test_null_counts_as_missing():
    one = entry(answer=None, gt="b")
    assert not one.has("answer")
    assert one.text("answer", "gt") == "b"
    assert one.text("answer", default="?") == "?"
    assert one.texts("answer") == ()
    assert one.spans("answer") == ()


def test_numbers_are_texts_too_but_nothing_else_is():
    assert entry(id=7).text("id") == "7"
    assert entry(options=["a", 2]).texts("options") == ("a", "2")
    for value in ("  ", [], {}, True):
        with pytest.raises(AnnotationError, match="non-empty text"):
            entry(answer=value).text("answer")


@pytest.mark.parametrize("value", ["A. red", [["a"]], [None], {"a": None}, "[1, 2", "[[1]]", 7])
def test_wrong_lists_of_texts(value):
    with pytest.raises(AnnotationError, match="list of texts"):
        entry(options=value).texts("options")


def test_spans():
    assert entry(windows=[[1, 2.5], [3, 3]]).spans("windows") == ((1.0, 2.5), (3.0, 3.0))
    for value in ([1, 2], [[1]], [[2, 1]], [[-1, 2]], [["1", "x"]], "1-2", [[0, float("inf")]]):
        with pytest.raises(AnnotationError, match="pairs in seconds"):
            entry(windows=value).spans("windows")


@pytest.mark.parametrize("value", [["a", "b"], {"A": "a", "B": "b"}, "['a', 'b']", ' ["a", "b"] '])
def test_lists_of_texts_in_other_forms(value):
    assert entry(options=value).texts("options") == ("a", "b")


@pytest.mark.parametrize("value", [2, 2.0, "2", " 2 "])
def test_indices(value):
    assert entry(gt=value).whole("gt", below=4) == 2
    assert entry(gt=value).whole("gt") == 2


@pytest.mark.parametrize("value", [-1, "two", 1.5, True, []])
def test_wrong_whole_numbers(value):
    with pytest.raises(AnnotationError, match="whole number of at least 0"):
        entry(count=value).whole("count")


def test_parts_of_a_video():
    assert entry(clip=[3, 9.5]).span("clip") == (3.0, 9.5)
    assert entry(clip={"start": "00:00:03", "end": 9}).span("clip") == (3.0, 9.0)
    assert entry(start=1, end="4").span("start", "end") == (1.0, 4.0)
    assert entry().span("start", "end") is None
    for wrong in ([9, 3], [1], "1-2", [None, 2], [1, float("inf")]):
        with pytest.raises(AnnotationError, match="two times"):
            entry(clip=wrong).span("clip")
    with pytest.raises(AnnotationError, match="two times"):
        entry(start=1).span("start", "end")


@pytest.mark.parametrize("value", [-1, 4, 1.5, "b", True])
def test_wrong_indices(value):
    with pytest.raises(AnnotationError, match="index from 0 to 3"):
        entry(gt=value).whole("gt", below=4)


def test_what_is_no_object():
    with pytest.raises(AnnotationError, match=r"\[1\] is 'two'; it must be an object"):
        list(entries_of([{}, "two"]))
    with pytest.raises(AnnotationError, match="must be a list of objects"):
        entry(questions={"a": 1}).entries("questions")


def test_long_values_are_cut():
    with pytest.raises(AnnotationError) as caught:
        entry(time="x" * 1000).seconds("time")
    assert len(str(caught.value)) < 300
