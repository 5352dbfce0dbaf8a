"""Reads annotations, and scores responses, one task after another: one line of JSON in, one out."""

from __future__ import annotations

import contextlib
import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

from hermes_lab.cli.results import run_scores
from hermes_lab.datasets import Annotations, Episode, EvalQuestion, VideoFinder, read_annotations
from hermes_lab.datasets.response_files import read_responses
from hermes_lab.evaluation import Prediction, Reply, grade, scorer
from hermes_lab.evaluation.polls import Polls
from hermes_lab.evaluation.responses import join, line_of, read_lines
from hermes_lab.evaluation.run_folder import digest_of
from hermes_lab.evaluation.scorers import SCORERS, reader
from hermes_lab.stress.workers import answer_tasks
from hermes_stream.errors import AnnotationError

_NUM_POLLS = 1000


def examine(annotations: Path, responses: Path | None) -> dict[str, Any]:
    """Read annotations and check what was read; score responses to them, if there are any.

    Raises:
        Exception: whatever is not refused in words.
    """
    try:
        read = read_annotations(annotations)
        folder = annotations if annotations.is_dir() else annotations.parent
        for episode in read.episodes:
            _check_episode(episode, folder)
        _check_gold(read)
        if responses is not None:
            _score(read, responses)
    except AnnotationError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {error}") from error
        return {"outcome": "refused", "message": str(error)[:300]}
    return {"outcome": "odd" if read.oddities or read.files_left_out else "read"}


def _check_episode(episode: Episode, folder: Path) -> None:
    for question in episode.questions:
        _check_question(question)
    times = list(islice(Polls(episode.questions), _NUM_POLLS))
    if times != sorted(times) or any(math.isnan(at) or at < 0 for at in times):
        raise AssertionError(f"moments out of order: {times[:5]}")
    with contextlib.suppress(AnnotationError):
        VideoFinder(folder).find(episode.video)


def _check_question(question: EvalQuestion) -> None:
    json.dumps(question.text).encode()
    (question.text + question.preamble + "".join(question.options)).encode()
    digest_of(question)
    if question.answer_index is not None and question.answer != question.options[question.answer_index]:
        raise AssertionError(f"the answer {question.answer!r} is not option {question.answer_index}")
    if any(not option.strip() for option in question.options):
        raise AssertionError(f"blank options: {question.options}")


def _check_gold(read: Annotations) -> None:
    """Make sure that whoever answers the truth is right everywhere."""
    predictions = [
        Prediction(
            video=episode.video,
            question=one,
            reply=Reply(text=one.answer, option_index=one.answer_index),
            at_seconds=one.asked_seconds if one.due_seconds is None else one.due_seconds,
        )
        for episode in read.episodes
        for one in episode.questions
    ]
    for one in predictions:
        # a truth that is none of the options is told as an oddity
        has_truth = one.question.answer_index is not None if one.is_choice else one.question.has_truth
        if has_truth and scorer("strict", dialect=read.dialect)(one) is not True:
            raise AssertionError(f"the truth is wrong: {one.question}")
        if math.isfinite(one.at_seconds):
            json.dumps(line_of(one), allow_nan=False)


def _score(read: Annotations, responses: Path) -> None:
    lines = read_responses(responses) if responses.suffix == ".json" else read_lines(responses)
    joined = join(read.episodes, lines)
    num_questions = sum(len(episode.questions) for episode in read.episodes)
    if len(joined.predictions) + len(joined.unanswered) != num_questions:
        raise AssertionError(f"{len(joined.predictions)} and {len(joined.unanswered)} of {num_questions}")
    for name in SCORERS:
        rule = scorer(name, dialect=read.dialect)
        graded = grade(joined.predictions, rule, can_read=reader(name))
        if len(graded.scored) + len(graded.unscored) != len(joined.predictions):
            raise AssertionError("answers are lost")
        if any(rule(one) for one in graded.unreadable):
            raise AssertionError("what cannot be read is right")
        json.dumps(run_scores(graded, seed=0), allow_nan=False)


def _do(task: dict[str, Any]) -> dict[str, Any]:
    responses = task["responses"]
    return examine(Path(task["annotations"]), None if responses is None else Path(responses))


if __name__ == "__main__":
    answer_tasks(_do)
