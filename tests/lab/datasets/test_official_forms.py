"""Files in the form of the official ones, made up: optional keys missing, letters or none, tasks left out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hermes_lab.datasets import DIALECTS, load_annotations, read_annotations

DATA = Path(__file__).parents[2] / "data" / "annotations"


def load(name):
    return load_annotations(DATA / f"{name}.json")


def test_streamingbench():
    kitchen, street = load("streamingbench")
    assert (kitchen.video, kitchen.duration_seconds) == ("./videos/sample_1_real.mp4", None)
    assert [q.asked_seconds for q in kitchen.questions] == [5.0, 65.0, 3723.0]
    first, second, third = kitchen.questions
    assert first.kind == "Object Recognition"
    assert first.options == ("A pan.", "A pot.", "A lid.", "A cup.")
    assert (first.answer, first.answer_index) == ("A pot.", 1)
    assert first.evidence == ()
    assert second.options == ("2.", "6.")
    assert second.answer == "6."
    assert len(third.options) == 7
    assert third.answer_index == 6
    assert third.kind == "question"
    assert street.video == "./videos/sample_2_proactive.mp4"
    (proactive,) = street.questions
    assert (proactive.form, proactive.answer) == ("proactive", "go")
    assert (proactive.asked_seconds, proactive.due_seconds) == (20.0, 29.0)
    assert street.left_out == ()


def test_lists_within_the_list():
    document = json.loads((DATA / "streamingbench.json").read_text())
    nested = DIALECTS["streamingbench"].episodes([document[:2], document[2:]])[0]
    assert [len(one.questions) for one in nested] == [3, 1]
    first, second, third = nested[0].questions
    assert first.question_id == "[0][1].questions[0]"
    assert second.preamble == ""  # annotated first
    assert first.preamble.endswith("At 65 s: How many eggs now?\nA. 2.\nB. 6.\nAnswer: B. 6.\n\n")
    assert third.preamble == ""  # of the next sequence


def test_ovo():
    one, two, forward = load("ovo")
    assert [q.asked_seconds for q in one.questions] == [12.0, 88.43]
    assert [q.kind for q in one.questions] == ["OJR", "EPM"]
    assert [q.answer for q in one.questions] == ["a spoon", "on the shelf"]
    assert one.questions[0].question_id == "1"
    assert two.questions[0].options == ("yes", "no")
    asked = [(q.kind, q.question_id, q.asked_seconds, q.form, q.answer) for q in forward.questions]
    assert asked == [
        ("SSR", "4_0", 3.0, "yes_no", "Yes"),
        ("REC", "3_0", 17.0, "number", "1"),
        ("CRR", "5_0", 21.0, "yes_no", "No"),
    ]
    assert "boil" in forward.questions[0].text
    assert "jumping" in forward.questions[1].text
    assert "What falls?" in forward.questions[2].text


def test_the_index_says_what_is_right_where_two_options_read_alike(tmp_path):
    entry = {"id": 1, "task": "STU", "video": "v.mp4", "realtime": 1, "question": "?", "answer": "left"}
    path = tmp_path / "ovo.json"
    path.write_text(json.dumps([entry | {"options": ["left", "right", "left"], "gt": 2}]))
    assert load_annotations(path)[0].questions[0].answer_index == 2
    path.write_text(json.dumps([entry | {"options": ["left", "right"], "gt": 2}]))
    read = read_annotations(path)
    assert "'gt' is 2; it must be an index from 0 to 1" in read.oddities[0]
    assert read.episodes[0].questions[0].answer_index == 0  # by its text


def test_unified():
    bench, opened, whole, clip, single = load("unified")
    assert [q.kind for q in bench.questions] == ["Counting", "Action Recognition"]
    assert [q.asked_seconds for q in bench.questions] == [6.0, 157.0]
    assert bench.questions[0].answer_index == 2
    assert (opened.duration_seconds, opened.questions[0].options) == (3600.0, ())
    assert opened.questions[0].answer == "Chopping onions."
    assert opened.questions[0].answer_index is None
    assert opened.questions[0].evidence == ((200.0, 260.5),)
    assert opened.questions[0].delay_seconds == pytest.approx(39.5)
    assert whole.questions[0].asked_seconds == math.inf
    assert whole.questions[0].kind == "findNeedle"
    assert whole.questions[0].question_id == "[2].conversations[0]"
    assert (clip.clip, clip.questions[0].kind) == ((3.0, 9.0), "EPM")
    assert clip.name == "/data/mvbench/videos/clip#t=3,9"
    assert single.questions[0].options == ("A cat",)
