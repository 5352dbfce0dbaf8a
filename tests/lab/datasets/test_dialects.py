"""Every dialect: there and back, told by its keys, with errors that help."""

from __future__ import annotations

import json
import math

import pytest
from tests.lab.episodes import episode, question
from tests.lab.watchers import Gold, told

from hermes_lab.datasets import (
    WRITABLE_DIALECTS,
    dialect_of,
    load_annotations,
    read_annotations,
    write_annotations,
)
from hermes_lab.datasets.dialects.ovo import TASK_OF_KIND as OVO_TASKS
from hermes_lab.datasets.dialects.streamingbench import TASK_OF_KIND as STREAMINGBENCH_TASKS
from hermes_lab.datasets.world import as_episode
from hermes_lab.evaluation import run_episode, score
from hermes_stream.errors import AnnotationError
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import ALL_KINDS, QUESTION_KINDS
from hermes_stream.synthetic.world import generate_world

WORLDS = [generate_world(seed, 20) for seed in (1, 2)]
STORIES = [
    as_episode(world, plan_questions(world, num_questions=20, seed=0), video=f"videos/{world.seed}.mp4")
    for world in WORLDS
]
TIMES = ("end_time", "time_stamp", "realtime")


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_the_world_there_and_back(tmp_path, dialect):
    path = tmp_path / "annotations.json"
    write_annotations(path, STORIES, dialect=dialect)
    assert dialect_of(json.loads(path.read_text())) == dialect
    assert load_annotations(path) == STORIES


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_unusual_episodes_there_and_back(dialect):
    episodes = [
        episode(question(name="a", at=0.0), question(name="b", at=0.0, answer="nothing"), video="a/b.mkv"),
        episode(question(name="c", at=7260.0, options=("yes", "no"), answer="no"), duration_seconds=None),
        episode(question("Wo?", "über", name="d", options=("A", "über", "C"), kind="task: x"), video="ü.mp4"),
        episode(question(name="e", options=(), answer="In the kitchen."), video="open.mp4"),
        episode(question(name="f", options=[f"{n} things" for n in range(7)], answer="5 things"), video="7"),
    ]
    document = json.loads(json.dumps(WRITABLE_DIALECTS[dialect].write(episodes)))
    assert WRITABLE_DIALECTS[dialect].episodes(document) == (episodes, [])


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_gold_scores_one(tmp_path, dialect):
    write_annotations(tmp_path / "annotations.json", STORIES, dialect=dialect)
    stories = {told_of.video: told(world) for told_of, world in zip(STORIES, WORLDS, strict=True)}
    episodes = load_annotations(tmp_path / "annotations.json")
    given = [one for own in episodes for one in run_episode(own, stories[own.video], Gold())]
    report = score(given)
    assert len(given) == 40
    assert report.overall.accuracy == 1
    assert {own.accuracy for own in report.by_kind.values()} == {1}
    assert set(report.by_kind) == set(QUESTION_KINDS)


def test_every_kind_has_an_official_task():
    assert set(STREAMINGBENCH_TASKS) == set(OVO_TASKS) == set(ALL_KINDS)


def test_the_same_episodes_give_the_same_bytes(tmp_path):
    for name in ("one.json", "other.json"):
        write_annotations(tmp_path / name, STORIES, dialect="unified")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


@pytest.mark.parametrize(
    ("dialect", "at", "words"), [("streamingbench", 2.5, "whole seconds"), ("ovo", math.inf, "moment")]
)
def test_what_a_dialect_cannot_say(dialect, at, words):
    with pytest.raises(AnnotationError, match=words):
        WRITABLE_DIALECTS[dialect].write([episode(question(at=at))])


def test_the_end_of_a_video_there_and_back():
    episodes = [episode(question(at=math.inf))]
    dialect = WRITABLE_DIALECTS["unified"]
    assert dialect.episodes(dialect.write(episodes)) == (episodes, [])


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_entries_of_one_video_are_one_episode_earliest_question_first(dialect):
    late, early = question(name="late", at=9.0), question(name="early", at=3.0)
    last = question(name="last")
    document = WRITABLE_DIALECTS[dialect].write(
        [episode(late), episode(early), episode(last, video="other.mp4")]
    )
    merged, other = WRITABLE_DIALECTS[dialect].episodes(document)[0]
    assert merged.questions == (early, late)
    assert other == episode(last, video="other.mp4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["is not JSON", "line 1"]),
        ("", ["is not JSON"]),
        ("[" * 200_000, ["is not JSON"]),
        ('{"a": 1}', ["dict", "a list of entries"]),
        ("[]", ["no entries", "conversations"]),
        ("[[]]", ["no entries"]),
        ("[1]", ["[0] is '1'", "object"]),
        ('[{"a": 1, "b": 2}]', ["[0] has a, b", "conversations", "questions", "realtime"]),
        ("[{}]", ["no key at all"]),
    ],
)
def test_files_of_no_dialect(tmp_path, text, words):
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        load_annotations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        load_annotations(tmp_path / "missing.json")
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_annotations(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match="UTF-8"):
        load_annotations(tmp_path / "binary.json")
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_annotations(tmp_path / "missing" / "a.json", STORIES, dialect="ovo")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(WRITABLE_DIALECTS["ovo"].write(STORIES)), encoding="utf-8-sig")
    assert load_annotations(path) == STORIES


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda q: q.pop("question"), ["lacks 'question'", "it has"]),
        (lambda q: [q.update({key: "late"}) for key in TIMES if key in q], ["'late'", "HH:MM:SS"]),
    ],
)
def test_a_broken_question_is_named(tmp_path, dialect, broken, words):
    document = WRITABLE_DIALECTS[dialect].write(STORIES)
    questions = {"unified": "conversations", "streamingbench": "questions"}.get(dialect)
    place = "[5]" if questions is None else f"[1].{questions}[5]"
    broken(document[5] if questions is None else document[1][questions][5])
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(document))
    read = read_annotations(path)
    (odd,) = read.oddities
    for word in (place, *words):
        assert word in odd
    assert read.num_questions == 40
    assert sum(len(one.questions) for one in read.episodes) == 39


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
@pytest.mark.parametrize(
    ("odd", "words", "answer"),
    [
        (
            lambda q: q.update(answer="green star", gt=None),
            "'green star' is none of the options",
            "green star",
        ),
        (lambda q: [q.pop(key) for key in ("answer", "gt") if key in q], "no answer is given", ""),
        (lambda q: q.update(temporal_windows=[[2, 1]]), "[from, until]", None),
    ],
)
def test_an_odd_question_is_asked_all_the_same(tmp_path, dialect, odd, words, answer):
    document = WRITABLE_DIALECTS[dialect].write(STORIES)
    questions = {"unified": "conversations", "streamingbench": "questions"}.get(dialect)
    odd(document[0] if questions is None else document[0][questions][0])
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(document))
    read = read_annotations(path)
    assert [words in told for told in read.oddities] == [True]
    first = read.episodes[0].questions[0]
    assert first.answer == (STORIES[0].questions[0].answer if answer is None else answer)
    assert (first.answer_index is None) == (answer is not None)
    assert first.has_truth == (answer != "")


def test_names_that_several_questions_have_are_numbered(tmp_path):
    twins = [episode(question(name="a"), question("why?", name="a"), question(name="b"))]
    write_annotations(tmp_path / "a.json", twins, dialect="unified")
    read = read_annotations(tmp_path / "a.json")
    assert [one.question_id for one in read.episodes[0].questions] == ["a", "a#2", "b"]
    assert len(read.oddities) == 1


def test_one_entry_that_is_no_object_is_an_oddity(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*WRITABLE_DIALECTS["unified"].write(STORIES), "the end"]))
    read = read_annotations(path)
    assert list(read.episodes) == STORIES
    assert read.oddities == ("[2] is 'the end'; it must be an object with keys; correct it",)


def test_a_dialect_that_is_only_read(tmp_path):
    with pytest.raises(ValueError, match="not written as 'oasis'; choose one of unified"):
        write_annotations(tmp_path / "a.json", STORIES, dialect="oasis")
