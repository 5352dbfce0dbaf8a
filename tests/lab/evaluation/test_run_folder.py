"""The folder of a run: what a kill leaves, what parts share, and what may not be mixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.lab.episodes import episode, question

from hermes_lab.evaluation import Prediction, Reply, Run, RunKey
from hermes_lab.evaluation.run_folder import RunFolder, Shard
from hermes_stream.errors import AnnotationError

EPISODES = [
    episode(question(name="a"), question(name="b", options=(), answer="words"), video="one.mp4"),
    episode(question(name="c"), question(name="d"), video="two.mp4"),
    episode(question(name="e"), video="three.mp4"),
]
ONE, TWO, THREE = EPISODES
SETTINGS = {"fps": 1.0, "limit": None}


def run_of(one, policy="hermes", *, budget_tokens=9, seed=None):
    """A run whose answers hold what a store must bring back."""
    predictions = []
    for asked in one.questions:
        reply = Reply(text="A", option_index=0 if asked.options else None, ttft_seconds=0.25, cache_bytes=7)
        predictions.append(
            Prediction(video=one.video, question=asked, reply=reply, at_seconds=2.0, took_seconds=1.5)
        )
    return Run(key=RunKey(one.video, policy, budget_tokens, seed), predictions=tuple(predictions))


def begun(path, shard=None):
    folder = RunFolder(path, shard)
    folder.begin(SETTINGS, {}, {})
    return folder


def by_key(*runs):
    return {run.key: run for run in runs}


def test_there_and_back(tmp_path):
    skipped = Run(key=RunKey("two.mp4", "full", None, None), skipped="too long")
    runs = [run_of(ONE), run_of(ONE, "random", seed=0), run_of(ONE, "random", seed=1), run_of(TWO), skipped]
    begun(tmp_path).add(runs)
    assert begun(tmp_path).runs(EPISODES) == by_key(*runs)
    assert begun(tmp_path).keep_whole(EPISODES) == by_key(*runs)
    assert begun(tmp_path).runs([THREE]) == by_key(skipped)


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_video_that_was_cut_short_is_watched_from_its_start(tmp_path, cut):
    begun(tmp_path).add([run_of(ONE), run_of(TWO)])
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(
        path.read_bytes()[:-cut] if cut > 1 else path.read_bytes() + b'{"question_id": "e", "resp'
    )
    folder = begun(tmp_path)
    whole = by_key(run_of(ONE), run_of(TWO)) if cut == 1 else by_key(run_of(ONE))
    assert folder.keep_whole(EPISODES) == whole
    folder.add([run_of(TWO), run_of(THREE)] if cut > 1 else [run_of(THREE)])
    assert begun(tmp_path).runs(EPISODES) == by_key(*map(run_of, EPISODES))
    names = [json.loads(line)["question_id"] for line in path.read_text().splitlines()]
    assert names == list("abcde")
    assert not list(tmp_path.glob(".*"))


def test_a_policy_that_was_cut_short_leaves_the_others(tmp_path):
    begun(tmp_path).add([run_of(ONE), run_of(ONE, "window")])
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert begun(tmp_path).keep_whole(EPISODES) == by_key(run_of(ONE))
    assert len(path.read_text().splitlines()) == 2


def test_a_skip_that_was_cut_short_is_forgotten(tmp_path):
    skips = [Run(key=RunKey(one.video, "full", None, None), skipped="too long") for one in (ONE, TWO)]
    begun(tmp_path).add(skips)
    path = tmp_path / "skipped.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    folder = begun(tmp_path)
    assert folder.keep_whole(EPISODES) == by_key(skips[0])
    folder.add(skips[1:])
    assert begun(tmp_path).runs(EPISODES) == by_key(*skips)


def test_answers_to_other_videos_stay(tmp_path):
    begun(tmp_path).add([run_of(ONE), run_of(TWO)])
    assert begun(tmp_path).keep_whole([ONE]) == by_key(run_of(ONE))
    assert begun(tmp_path).keep_whole(EPISODES) == by_key(run_of(ONE), run_of(TWO))


def test_another_number_of_parts_goes_on_with_what_is_there(tmp_path):
    first = begun(tmp_path, Shard.read("0/2"))
    mine = Shard.read("0/2").of(EPISODES)
    assert [one.video for one in mine] == ["one.mp4", "three.mp4"]
    assert first.keep_whole(mine) == {}
    first.add([run_of(ONE), run_of(THREE)])
    assert begun(tmp_path).keep_whole(EPISODES) == by_key(run_of(ONE), run_of(THREE))
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["predictions-0-of-2.jsonl"]


def test_every_video_is_in_one_part():
    parts = [Shard(index=k, count=2).of(EPISODES) for k in range(2)]
    assert sorted((one for part in parts for one in part), key=EPISODES.index) == EPISODES


def test_other_questions_about_the_same_video_are_refused(tmp_path):
    begun(tmp_path).add([run_of(ONE)])
    later = replace(ONE, questions=(replace(ONE.questions[0], asked_seconds=5.0), ONE.questions[1]))
    with pytest.raises(AnnotationError, match=r"other questions about one\.mp4"):
        begun(tmp_path).runs([later, TWO])
    assert begun(tmp_path).runs([TWO]) == {}


def test_a_run_with_other_settings_is_refused(tmp_path):
    RunFolder(tmp_path).begin(SETTINGS, {"versions": {"torch": "1"}}, {"scorer": "strict"})
    with pytest.raises(AnnotationError, match=r"fps is 1\.0 there and 2\.0 here; give another folder"):
        RunFolder(tmp_path).begin(SETTINGS | {"fps": 2.0}, {}, {})
    told = RunFolder(tmp_path).begin(SETTINGS, {"versions": {"torch": "2"}}, {"scorer": "official"})
    assert told == ["versions is {'torch': '1'} there and {'torch': '2'} here"]
    assert json.loads((tmp_path / "manifest.json").read_text())["scoring"] == {"scorer": "official"}


def test_predictions_without_a_manifest_are_left_alone(tmp_path):
    (tmp_path / "predictions.jsonl").write_text("hours of work\n")
    with pytest.raises(AnnotationError, match=r"without manifest\.json"):
        RunFolder(tmp_path).begin(SETTINGS, {}, {})
    assert (tmp_path / "predictions.jsonl").read_text() == "hours of work\n"


def test_folders_and_files_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AnnotationError, match="cannot be written"):
        RunFolder(tmp_path / "file")
    (tmp_path / "predictions.jsonl").mkdir()
    with pytest.raises(AnnotationError, match="cannot be written"):
        RunFolder(tmp_path).add([run_of(ONE)])


@pytest.mark.parametrize("words", ["", "1", "1/", "/2", "2/2", "-1/2", "0/0", "a/b"])
def test_what_is_no_part(words):
    with pytest.raises(ValueError, match="such as 0/4"):
        Shard.read(words)


def test_a_second_writer_is_refused_and_a_later_one_is_not(tmp_path):
    first, second, other = RunFolder(tmp_path), RunFolder(tmp_path), RunFolder(tmp_path, Shard.read("0/2"))
    with first.writing():
        with pytest.raises(AnnotationError, match=rf"another program \(process {os.getpid()}\); wait"):
            second.writing().__enter__()
        with other.writing():
            pass
    with second.writing():
        pass


@pytest.mark.long
def test_what_a_killed_writer_left_is_taken_over(tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from hermes_lab.evaluation.writer_lock import only_writer\n"
        "held = only_writer(Path(sys.argv[1])); held.__enter__(); print('locked', flush=True); os.read(0, 1)"
    )
    path = tmp_path / ".writer.lock"
    program = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout.readline() == "locked\n"
        with pytest.raises(AnnotationError, match=f"process {program.pid}"):
            RunFolder(tmp_path).writing().__enter__()
        program.kill()
        program.wait()
        with RunFolder(tmp_path).writing():
            assert path.read_text() == f"{os.getpid()}\n"


def test_answers_that_are_missing_at_the_end_are_told(tmp_path):
    runs = [run_of(ONE), run_of(TWO)]
    folder = begun(tmp_path)
    folder.add(runs)
    folder.check_whole(runs)
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(AnnotationError, match="holds 3 of 4 answers"):
        folder.check_whole(runs)


@pytest.mark.parametrize("line", ["{", "3", '{"video": ["x"], "policy": {}, "reason": null}'])
def test_odd_lines_of_skips_do_no_harm(tmp_path, line):
    (tmp_path / "skipped.jsonl").write_text(line + "\n")
    try:
        found = RunFolder(tmp_path).runs(EPISODES)
    except AnnotationError as error:
        assert "skipped.jsonl is not JSON" in str(error)  # noqa: PT017
    else:
        assert len(found) <= 1
