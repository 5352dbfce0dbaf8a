"""``hermes world`` writes real videos and annotations that read back, the same bytes for the same options."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from hermes_lab.datasets import WRITABLE_DIALECTS, VideoFinder, dialect_of, load_annotations
from hermes_stream import FileSource, __version__
from hermes_stream.synthetic.questions import FURTHER_GROUPS, QUESTION_KINDS
from hermes_stream.synthetic.world import generate_world

SMALL = ["--seconds", "8", "--size", "48", "--questions", "10"]


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def written(hermes, tmp_path):
    run = hermes("world", "--out", tmp_path / "w", "--seed", 123, "--streams", 2, *SMALL, "--json")
    assert (run.code, run.err) == (0, "")
    return run, tmp_path / "w"


def test_what_is_written(written):
    run, folder = written
    videos = ["videos/world-000123.mp4", "videos/world-000124.mp4"]
    assert sorted(contents(folder)) == ["annotations.json", *videos]
    episodes = load_annotations(folder / "annotations.json")
    assert [one.video for one in episodes] == videos
    assert [len(one.questions) for one in episodes] == [10, 10]
    assert run.out.count("\n") == 1
    assert run.document == {
        "schema": "hermes.world/1",
        "version": __version__,
        "annotations": str(folder / "annotations.json"),
        "dialect": "unified",
        "videos": [str(folder / video) for video in videos],
        "seed": 123,
        "scene": "still",
        "duration_seconds": 8,
        "fps": 4,
        "size": 48,
        "num_questions": 20,
        "num_questions_by_kind": dict(
            sorted(Counter(q.kind for one in episodes for q in one.questions).items())
        ),
    }


def test_the_videos_show_the_stories(written):
    _, folder = written
    source = FileSource(VideoFinder(folder).find("videos/world-000124.mp4"), fps=1)
    assert (source.codec, source.width, source.height, source.fps_native) == ("h264", 48, 48, 4)
    assert source.duration_seconds == 8
    for frame in source:
        drawn = generate_world(124, 8).picture(frame.pts_seconds, size=48)
        assert abs(frame.image.astype(int) - drawn).mean() < 6


def test_the_same_options_give_the_same_bytes(hermes, written, tmp_path):
    _, folder = written
    again = hermes("world", "--out", tmp_path / "again", "--seed", 123, "--streams", 2, *SMALL)
    assert again.code == 0
    assert contents(tmp_path / "again") == contents(folder)


def test_a_stream_is_the_same_among_others_and_alone(hermes, written, tmp_path):
    _, folder = written
    hermes("world", "--out", tmp_path / "alone", "--seed", 124, *SMALL)
    name = "videos/world-000124.mp4"
    assert (tmp_path / "alone" / name).read_bytes() == (folder / name).read_bytes()
    alone = load_annotations(tmp_path / "alone/annotations.json")
    assert alone == load_annotations(folder / "annotations.json")[1:]


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_every_dialect(hermes, tmp_path, dialect):
    run = hermes("world", "--out", tmp_path / "w", *SMALL, "--dialect", dialect)
    assert run.code == 0
    path = tmp_path / "w" / "annotations.json"
    assert dialect_of(json.loads(path.read_text())) == dialect
    (episode,) = load_annotations(path)
    assert len(episode.questions) == 10
    assert all(one.asked_seconds == int(one.asked_seconds) >= 2 for one in episode.questions)


def test_the_default_asks_every_kind_as_often(hermes, tmp_path):
    assert hermes("world", "--out", tmp_path / "w", "--size", 32).code == 0
    (episode,) = load_annotations(tmp_path / "w/annotations.json")
    assert episode.duration_seconds == 48
    assert Counter(one.kind for one in episode.questions) == dict.fromkeys(QUESTION_KINDS, 4)


def test_kinds_and_groups_can_be_named(hermes, tmp_path):
    arguments = ["--kinds", "first, standing,never_shown", "--cast-shapes", 3, "--size", 32]
    assert hermes("world", "--out", tmp_path / "w", *arguments).code == 0
    (episode,) = load_annotations(tmp_path / "w/annotations.json")
    kinds = ("first", *FURTHER_GROUPS["standing"], *FURTHER_GROUPS["never_shown"])
    assert Counter(one.kind for one in episode.questions).keys() == set(kinds)


@pytest.mark.parametrize("dialect", WRITABLE_DIALECTS)
def test_every_kind_can_be_written(hermes, tmp_path, dialect):
    arguments = ["--kinds", "all", "--questions", 36, "--size", 32, "--dialect", dialect]
    assert hermes("world", "--out", tmp_path / "w", *arguments).code == 0
    (episode,) = load_annotations(tmp_path / "w/annotations.json")
    assert len(episode.questions) == 36


def test_a_scene_is_another_video_of_the_same_story(hermes, tmp_path, written):
    _, folder = written
    run = hermes("world", "--out", tmp_path / "p", "--seed", 123, *SMALL, "--scene", "pan", "--json")
    assert run.document["scene"] == "pan"
    video = "videos/world-000123-pan.mp4"
    assert run.document["videos"] == [str(tmp_path / "p" / video)]
    (own,), plain = (load_annotations(one / "annotations.json") for one in (tmp_path / "p", folder))
    assert (own.video, own.questions[3].question_id) == (video, "world-000123-pan/3")
    assert [(q.text, q.answer, q.options, q.asked_seconds) for q in own.questions] == [
        (q.text, q.answer, q.options, q.asked_seconds) for q in plain[0].questions
    ]
    drawn = generate_world(123, 8, scene="pan").picture(5, size=48)
    frames = list(FileSource(tmp_path / "p" / video, fps=1))
    assert abs(frames[5].image.astype(int) - drawn).mean() < 8


def test_quiet_stretches_can_be_long(hermes, tmp_path):
    quiet = ["--quiet-seconds", 20, 20]
    assert hermes("world", "--out", tmp_path / "w", "--seconds", 60, "--size", 32, *quiet).code == 0
    assert hermes("world", "--out", tmp_path / "v", "--seconds", 60, "--size", 32).code == 0
    (own,) = load_annotations(tmp_path / "w/annotations.json")
    (default,) = load_annotations(tmp_path / "v/annotations.json")
    assert own.questions != default.questions


def test_for_people_it_says_what_to_do_next(hermes, tmp_path):
    run = hermes("world", "--out", tmp_path / "w", *SMALL)
    assert run.out.splitlines() == [
        f"1 video, 10 questions in {tmp_path / 'w'}",
        f"hermes eval {tmp_path / 'w/annotations.json'} --videos {tmp_path / 'w'}",
    ]


def test_a_folder_with_anything_in_it_is_left_alone_unless_forced(hermes, tmp_path):
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    run = hermes("world", "--out", tmp_path, *SMALL)
    assert (run.code, run.out) == (2, "")
    assert all(word in run.err for word in ("--out", "not empty", "--force"))
    assert list(tmp_path.glob("*.json")) == []
    assert hermes("world", "--out", tmp_path, *SMALL, "--force").code == 0
    assert kept.read_text() == "years of work"
    assert (tmp_path / "annotations.json").exists()


def test_what_told_of_earlier_stories_goes_with_them(hermes, tmp_path):
    out = tmp_path / "w"
    assert hermes("world", "--out", out, *SMALL, "--watches").code == 0
    assert (out / "watches.json").exists()
    assert hermes("world", "--out", out, *SMALL, "--force").code == 0
    assert [path.name for path in out.glob("*.json")] == ["annotations.json"]


def test_an_empty_folder_and_one_that_must_be_made(hermes, tmp_path):
    (tmp_path / "empty").mkdir()
    assert hermes("world", "--out", tmp_path / "empty", *SMALL).code == 0
    assert hermes("world", "--out", tmp_path / "a/b/c", *SMALL).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dialect", "klingon"], ["--dialect", "klingon", "unified", "streamingbench", "ovo"]),
        (["--quiet-seconds", "5", "1"], ["--quiet-seconds", "5, 1"]),
        (["--quiet-seconds", "-1", "1"], ["--quiet-seconds", "-1, 1"]),
        (["--quiet-seconds", "soon", "1"], ["--quiet-seconds", "integer"]),
        (["--scene", "moonlight"], ["--scene", "moonlight", "still", "handheld"]),
        (["--kinds", "first,smell"], ["--kinds", "smell", "is_there_now", "never_shown"]),
        (["--kinds", ","], ["--kinds", "no kind"]),
        (["--cast-shapes", "5"], ["--cast-shapes"]),
        (["--seconds", "2"], ["--seconds"]),
        (["--seconds", "x"], ["--seconds"]),
        (["--streams", "0"], ["--streams"]),
        (["--fps", "0"], ["--fps"]),
        (["--fps", "2.5"], ["--fps"]),
        (["--size", "0"], ["--size"]),
        (["--questions", "0"], ["--questions"]),
        (["--seed", "-1"], ["--seed"]),
    ],
)
def test_wrong_usage(hermes, tmp_path, arguments, words):
    run = hermes("world", "--out", tmp_path / "w", *arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert all(word in run.err for word in words)
    assert not (tmp_path / "w").exists()


def test_the_folder_is_asked_for(hermes):
    assert hermes("world").code == 2


def test_a_file_is_no_folder(hermes, tmp_path):
    (tmp_path / "file").touch()
    run = hermes("world", "--out", tmp_path / "file")
    assert run.code == 2
    assert "is a file" in run.err
    run = hermes("world", "--out", tmp_path / "file" / "below", *SMALL)
    assert (run.code, run.out) == (2, "")
    assert "cannot be written" in run.err


def test_more_questions_than_a_story_answers(hermes, tmp_path):
    run = hermes("world", "--out", tmp_path / "w", "--seconds", 4, "--questions", 100)
    assert run.code == 1
    assert "ask for fewer" in run.err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(("option", "is_dark"), [("--empty-seconds", False), ("--dark-seconds", True)])
def test_a_stretch_in_which_nothing_comes(hermes, tmp_path, option, is_dark):
    stretch = (option, 3, 7)
    run = hermes("world", "--out", tmp_path / "w", "--seed", 123, *SMALL, "--fps", 1, *stretch, "--json")
    assert (run.code, run.err) == (0, "")
    pictures = [frame.image for frame in FileSource(tmp_path / "w/videos/world-000123.mp4", fps=1)]
    still = [float(abs(one.astype(float) - pictures[3]).mean()) for one in pictures[4:7]]
    assert max(still) < 5
    assert (pictures[4].mean() < 10) == is_dark
    assert pictures[2].mean() > 10


def test_a_stretch_that_ends_before_it_begins_is_refused(hermes, tmp_path):
    run = hermes("world", "--out", tmp_path / "w", *SMALL, "--dark-seconds", 7, 3)
    assert run.code == 2
    assert "--dark-seconds" in run.err
