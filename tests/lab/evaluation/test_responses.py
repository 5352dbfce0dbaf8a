"""Stored responses: written, read and joined to their questions; files of a run that stops and goes on."""

from __future__ import annotations

import json

import pytest
from tests.lab.episodes import episode, prediction, question

from hermes_lab.evaluation.responses import join, line_of, read_lines, written
from hermes_lab.evaluation.run_folder import RunFolder, Shard
from hermes_stream.errors import AnnotationError

EPISODES = [
    episode(question(name="a"), question(name="b", options=(), answer="words"), video="one.mp4"),
    episode(question(name="c"), question(name="d"), video="two.mp4"),
    episode(question(name="e"), video="three.mp4"),
]
SETTINGS = {"fps": 1.0, "limit": None}


def given(name, *, video="one.mp4", is_right=True, **more):
    return prediction(is_right, video=video, name=name, **more)


def stored(folder, *names, shard=None):
    with folder.writing() as write:
        for name in names:
            write(given(name))


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
        ('{"question_id": "a", "response": ["A"]}', "line 1: the response is"),
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


def test_a_video_that_was_cut_short_is_watched_from_its_start(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.begin(SETTINGS, {}, {}) == []
    stored(folder, "a", "b", "c")
    with (tmp_path / "run/predictions.jsonl").open("a") as file:
        file.write('{"question_id": "d", "resp')
    again = RunFolder(tmp_path / "run")
    again.begin(SETTINGS, {}, {})
    assert [one.video for one in again.keep_whole(EPISODES)] == ["two.mp4", "three.mp4"]
    assert [line["question_id"] for line in again.lines()] == ["a", "b"]
    stored(again, "c", "d", "e")
    assert again.keep_whole(EPISODES) == []
    assert len(again.lines()) == 5
    assert not list((tmp_path / "run").glob(".*"))


def test_another_number_of_parts_goes_on_with_what_is_there(tmp_path):
    first = RunFolder(tmp_path, Shard.read("0/2"))
    first.begin(SETTINGS, {}, {})
    mine = Shard.read("0/2").of(EPISODES)
    assert [one.video for one in mine] == ["one.mp4", "three.mp4"]
    assert first.keep_whole(mine) == mine
    stored(first, "a", "b", "e")
    whole = RunFolder(tmp_path)
    whole.begin(SETTINGS, {}, {})
    assert [one.video for one in whole.keep_whole(EPISODES)] == ["two.mp4"]
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["predictions-0-of-2.jsonl"]


def test_every_video_is_in_one_part():
    parts = [Shard(index=k, count=2).of(EPISODES) for k in range(2)]
    assert sorted((one for part in parts for one in part), key=EPISODES.index) == EPISODES


def test_a_run_with_other_settings_is_refused(tmp_path):
    RunFolder(tmp_path).begin(SETTINGS, {"versions": {"torch": "1"}}, {"scorer": "strict"})
    with pytest.raises(AnnotationError, match=r"fps is 1\.0 there and 2\.0 here; give another folder"):
        RunFolder(tmp_path).begin(SETTINGS | {"fps": 2.0}, {}, {})
    told = RunFolder(tmp_path).begin(SETTINGS, {"versions": {"torch": "2"}}, {"scorer": "official"})
    assert told == ["versions is {'torch': '1'} there and {'torch': '2'} here"]
    assert RunFolder(tmp_path).manifest()["scoring"] == {"scorer": "official"}


def test_predictions_without_a_manifest_are_left_alone(tmp_path):
    (tmp_path / "predictions.jsonl").write_text("hours of work\n")
    with pytest.raises(AnnotationError, match=r"without manifest\.json"):
        RunFolder(tmp_path).begin(SETTINGS, {}, {})
    assert (tmp_path / "predictions.jsonl").read_text() == "hours of work\n"


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AnnotationError, match="cannot be written"):
        RunFolder(tmp_path / "file")


@pytest.mark.parametrize("words", ["", "1", "1/", "/2", "2/2", "-1/2", "0/0", "a/b"])
def test_what_is_no_part(words):
    with pytest.raises(ValueError, match="such as 0/4"):
        Shard.read(words)
