"""Files that benchmarks publish with oddities, and files that nobody could mean."""

from __future__ import annotations

import json

import pytest
from tests.lab.datasets.test_every_dialect import FOUR, candidate, conversation, written

from hermes_lab.datasets import VideoFinder, read_annotations
from hermes_stream.errors import AnnotationError


def test_mlvu_as_a_folder_with_tasks_that_have_no_candidates(tmp_path):
    opened = {"video": "a.mp4", "duration": 480, "question": "Summarise it.", "answer": "A man walks."}
    written(tmp_path / "json", "1_plotQA.json", [candidate(k, question_type="plotQA") for k in range(2)])
    written(tmp_path / "json", "9_summary.json", [opened | {"question_type": "summary"}])
    points = {"question_type": "subPlot", "scoring_points": ["he falls"]}
    written(tmp_path / "json", "8_sub_scene.json", [opened | points])
    read = read_annotations(tmp_path / "json")
    assert (read.dialect, read.num_questions) == ("candidates", 4)
    assert read.tasks == {"plotQA": 2, "subPlot": 1, "summary": 1}
    assert (read.oddities, read.files_left_out) == ((), ())
    asked = {q.kind: q for one in read.episodes for q in one.questions}
    assert (asked["summary"].options, asked["summary"].answer) == ((), "A man walks.")


def test_files_of_a_folder_that_are_no_annotations_are_left_out_and_told(tmp_path):
    written(tmp_path, "1_plotQA.json", [candidate(k) for k in range(2)])
    for name, content in (("a.json", {"version": 1}), ("b.json", [{"x": 1}]), ("c.json", []), ("d.json", 3)):
        written(tmp_path, name, content)
    read = read_annotations(tmp_path)
    assert (read.num_questions, len(read.files_left_out)) == (2, 4)
    assert all(str(tmp_path) in told for told in read.files_left_out)
    written(tmp_path, "e.json", "{")
    with pytest.raises(AnnotationError, match=r"e\.json is not JSON"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("options", "asked", "answer"),
    [
        (["A. red", "B. blue", "C. ", "D. "], ("red", "blue"), "blue"),
        (["A. red", "", "B. blue", ""], ("red", "blue"), "blue"),
        (["A. ", "B. blue", "C.", "D. black"], ("-", "blue", "--", "black"), "blue"),
        (["red", "blue", " "], ("red", "blue"), "blue"),
    ],
)
def test_blank_options_leave_the_others_their_letters(tmp_path, options, asked, answer):
    question = {"task_type": "t", "question": "?", "time_stamp": "00:00:03", "answer": "B"}
    clip = {"questions": [question | {"options": options}], "video_path": "a.mp4"}
    read = read_annotations(written(tmp_path, "omni.json", [clip]))
    ((one,),) = [episode.questions for episode in read.episodes]
    assert (one.options, one.answer) == (asked, answer)
    assert "options are blank" in read.oddities[0]


@pytest.mark.parametrize("options", [["A. ", "B. "], ["one", " "], ["", "", "C. x"]])
def test_a_question_with_nothing_to_choose_is_left_out(tmp_path, options):
    question = {"question": "?", "time_stamp": "00:00:03", "answer": "B", "options": options}
    read = read_annotations(written(tmp_path, "a.json", [{"questions": [question], "video_path": "a.mp4"}]))
    assert (read.num_questions, read.episodes[0].questions) == (1, ())


@pytest.mark.parametrize("gt", ["AB", "", "Z", "b"])
def test_a_letter_of_oasis_that_is_none_is_told(tmp_path, gt):
    point = {"question": "What?", "options": FOUR, "gt": gt, "time": 1}
    read = read_annotations(
        written(tmp_path, "a.json", [{"info": {"video_path": "a.mp4"}, "breakpoint": [point]}])
    )
    assert all(one.answer_index is None for one in read.episodes[0].questions)
    assert read.oddities


def test_halves_of_letters_are_replaced(tmp_path):
    document = [{"video_path": "a.mp4", "conversations": [conversation(question="\ud800?", answer="\udc80")]}]
    document[0]["conversations"][0] |= {"choices": None, "question_id": "\udfff"}
    text = json.dumps(document)
    read = read_annotations(written(tmp_path, "a.json", text))
    (one,) = read.episodes[0].questions
    assert (one.text, one.answer, one.question_id) == ("\ufffd?", "\ufffd", "\ufffd")


def test_names_do_not_meet_when_they_are_numbered(tmp_path):
    names = ("a", "a#2", "a", "a")
    document = [{"video_path": "a.mp4", "conversations": [conversation(question_id=name) for name in names]}]
    read = read_annotations(written(tmp_path, "a.json", document))
    assert [one.question_id for one in read.episodes[0].questions] == ["a", "a#2", "a#3", "a#4"]


ENTRY = {"id": 1, "task": "OCR", "video": "v", "realtime": 1, "question": "?"}
ABSURD = [
    "[" * 900 + "1" + "]" * 900,
    "[" * 5000 + "]" * 5000,
    '[{"video_path": "a.mp4", "conversations": ' + "[" * 5000 + "]" * 5000 + "}]",
    '[{"video_path": "a.mp4", "conversations": [], "x": ' + '{"a":' * 900 + "1" + "}" * 901 + "]",
    "[" + "9" * 5000 + "]",
    json.dumps([ENTRY | {"realtime": "9" * 5000}]),
    json.dumps([ENTRY | {"realtime": float("inf")}]),
    json.dumps([ENTRY | {"gt": "9" * 5000, "options": ["a", "b"]}]),
    json.dumps([ENTRY | {"options": "[" * 20_000}]),
    json.dumps([ENTRY | {"options": "[" + "-" * 60_000 + "1]"}]),
    json.dumps([ENTRY | {"task": "REC", "test_info": [{"count": "9" * 5000, "realtime": 1}]}]),
    '{"": {}}',
    json.dumps([{"two\nlines": 1, "x" * 9000: 2}]),
    json.dumps([{"two\nlines": 1, "video": "v", "realtime": 1}]),
    "NaN",
]


@pytest.mark.parametrize("number", range(len(ABSURD)))
def test_absurd_files_are_read_or_refused_in_words(tmp_path, number):
    path = written(tmp_path, "a.json", ABSURD[number])
    told = ""
    try:
        read_annotations(path)
    except AnnotationError as error:
        told = str(error)
    assert "\n" not in told


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "/".join(["a"] * 3000)])
def test_paths_that_no_file_can_have(tmp_path, name):
    with pytest.raises(AnnotationError, match=r"cannot be read|does not exist"):
        read_annotations(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"cannot be read|there is no folder"):
        VideoFinder(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"is not under|longer path") as caught:
        VideoFinder(tmp_path).find(name)
    assert len(str(caught.value)) < 4000


def test_devices_are_no_annotations():
    with pytest.raises(AnnotationError, match="device"):
        read_annotations("/dev/zero")
