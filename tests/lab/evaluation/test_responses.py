"""Stored responses: written, read and joined to their questions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.lab.episodes import episode, prediction, question

from hermes_lab.evaluation.grading import grade
from hermes_lab.evaluation.responses import join, line_of, read_lines
from hermes_lab.evaluation.scorers import scorer
from hermes_stream.errors import AnnotationError

EPISODES = [
    episode(question(name="a"), question(name="b", options=(), answer="words"), video="one.mp4"),
    episode(question(name="c"), question(name="d"), video="two.mp4"),
    episode(question(name="e"), video="three.mp4"),
]


def given(name, *, video="one.mp4", is_right=True, **more):
    return prediction(is_right, video=video, name=name, **more)


def written(one):
    return json.dumps(line_of(one)) + "\n"


def test_there_and_back(tmp_path):
    ones = [given("a"), given("b", options=(), answer="words", is_right=False), given("c", video="two.mp4")]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(map(written, ones)))
    joined = join(EPISODES, read_lines(path))
    assert [one.question.question_id for one in joined.predictions] == ["a", "b", "c"]
    assert [one.is_right for one in joined.predictions] == [True, False, True]
    assert [line_of(one) for one in joined.predictions] == [
        line_of(one) | {"response": line_of(one)["response"]} for one in joined.predictions
    ]
    assert (joined.unanswered, joined.unknown, joined.num_repeated) == (["d", "e"], [], 0)


def test_two_keys_are_enough(tmp_path):
    path = tmp_path / "p.jsonl"
    lines = [{"question_id": "a", "response": "A"}, {"question_id": "x", "response": None}]
    lines += [{"question_id": "a", "response": "B"}, {"question_id": "b", "response": None}]
    path.write_text("\n".join(map(json.dumps, lines)))
    joined = join(EPISODES, read_lines(path))
    assert [one.reply.text for one in joined.predictions] == ["B", ""]
    assert (joined.unknown, joined.num_repeated) == (["x"], 1)


def test_a_last_line_that_was_cut_is_dropped(tmp_path):
    path = tmp_path / "p.jsonl"
    whole = written(given("a"))
    path.write_text(whole + whole[:40])
    assert len(read_lines(path)) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 names no question"),
        ('{"response": "A"}', "line 1 names no question"),
    ],
)
def test_lines_that_are_no_responses(tmp_path, line, words):
    path = tmp_path / "p.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(AnnotationError, match=words) as caught:
        read_lines(path)
    assert str(path) in str(caught.value)


def test_odd_values_of_other_keys_do_no_harm():
    line = {"question_id": "a", "response": "A", "option_index": 99, "at_seconds": "soon"}
    (one,) = join(EPISODES, [line | {"ttft_seconds": float("nan"), "is_past_end": "yes"}]).predictions
    assert (one.reply.option_index, one.at_seconds, one.reply.ttft_seconds) == (None, 2.0, 0.0)
    assert not one.is_past_end


@pytest.mark.parametrize(
    ("response", "text", "is_readable"),
    [
        (["A"], "A", True),
        ([], "", True),
        ([None], "", True),
        (None, "", True),
        (2, "2", True),
        ("", "", True),
        (["A", "B"], "", False),
        ([["A"]], "", False),
        ({"answer": "A"}, "", False),
        (True, "", False),
    ],
)
def test_a_response_in_no_known_form_is_marked(response, text, is_readable):
    (one,) = join(EPISODES, [{"question_id": "a", "response": response}]).predictions
    assert (one.reply.text, one.reply.is_readable) == (text, is_readable)
    (chosen,) = join(EPISODES, [{"question_id": "a", "response": response, "option_index": 0}]).predictions
    assert chosen.reply.is_readable


@pytest.mark.parametrize(("when", "is_readable"), [({"at_seconds": 3}, True), ({}, False)])
def test_a_proactive_answer_without_its_moment_cannot_be_graded(when, is_readable):
    waiting = replace(question(name="p", options=(), answer="go"), form="proactive", due_seconds=3.0)
    (one,) = join([episode(waiting)], [{"question_id": "p", "response": "go"} | when]).predictions
    assert one.reply.is_readable is is_readable
    graded = grade([one], scorer("official", dialect="streamingbench"))
    assert (graded.rights, len(graded.unreadable)) == ([is_readable], 1 - is_readable)
    assert (graded.proactive.num_in_time, graded.proactive.num_right_output) == (is_readable, is_readable)
