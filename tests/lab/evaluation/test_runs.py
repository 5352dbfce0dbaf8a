"""The file of a comparison: what a kill leaves, and what may not be mixed."""

from __future__ import annotations

import pytest
from tests.lab.episodes import episode, question

from hermes_lab.evaluation.runs import Given, Run, RunFile, digest_of
from hermes_stream.errors import AnnotationError

SETTINGS = {"model": "tiny", "fps": 1.0}


def run(video="a.mp4", policy="hermes", **fields):
    one = Given(question_id="q", is_right=True, answer="x", option_index=None, ttft_seconds=0.1)
    asked = digest_of(episode(question()))
    return Run(
        video=video, questions=asked, policy=policy, budget_tokens=9, seed=None, given=(one,), **fields
    )


def test_there_and_back(tmp_path):
    path = tmp_path / "runs.jsonl"
    file = RunFile(path, SETTINGS)
    assert file.runs == {}
    file.add([run(), run(policy="random")])
    file.add([run(video="b.mp4", skipped="too long")])
    again = RunFile(path, SETTINGS)
    assert again.runs == file.runs
    assert list(again.runs.values()) == [run(), run(policy="random"), run(video="b.mp4", skipped="too long")]


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_line_that_was_cut_short_is_dropped(tmp_path, cut):
    path = tmp_path / "runs.jsonl"
    RunFile(path, SETTINGS).add([run(), run(policy="random")])
    path.write_bytes(path.read_bytes()[:-cut])
    file = RunFile(path, SETTINGS)
    assert list(file.runs.values()) == [run()]
    file.add([run(policy="random")])
    assert list(RunFile(path, SETTINGS).runs.values()) == [run(), run(policy="random")]


def test_settings_that_were_cut_short_begin_anew(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"settings": {"mod')
    RunFile(path, SETTINGS).add([run()])
    assert len(RunFile(path, SETTINGS).runs) == 1


def test_other_settings_are_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    RunFile(path, SETTINGS).add([run()])
    with pytest.raises(AnnotationError, match=r"begun with fps 1.0, now it is 2.0"):
        RunFile(path, SETTINGS | {"fps": 2.0})
    assert len(RunFile(path, SETTINGS).runs) == 1


def test_other_questions_are_refused(tmp_path):
    file = RunFile(tmp_path / "runs.jsonl", SETTINGS)
    file.add([run()])
    file.check_questions([episode(question(), video="a.mp4"), episode(question("else?"), video="b.mp4")])
    with pytest.raises(AnnotationError, match=r"other questions about a.mp4"):
        file.check_questions([episode(question("else?"), video="a.mp4")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]\n", "line 1 .* has no settings"),
        ("no\n", "line 1 .* is not JSON"),
        ('{"settings": {"model": "tiny", "fps": 1.0}}\n{"video": "a"}\n', "line 2 .* is no run"),
    ],
)
def test_other_files_are_refused(tmp_path, text, words):
    path = tmp_path / "runs.jsonl"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=words):
        RunFile(path, SETTINGS)
    assert path.read_text() == text


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be used"):
        RunFile(tmp_path / "missing" / "runs.jsonl", SETTINGS)
