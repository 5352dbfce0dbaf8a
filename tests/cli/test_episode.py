from __future__ import annotations

import numpy as np
import pytest

from hermes_stream.cli.episode import Asked, Score, make_episode
from hermes_stream.tiny.questions import QUESTION_KINDS, Question


def episode(seed=0, *, duration_seconds=60, fps=1.0):
    return make_episode(seed, duration_seconds=duration_seconds, fps=fps, num_questions=40)


@pytest.mark.parametrize("seed", range(8))
def test_questions_are_spread_over_the_stream_and_the_kinds(seed):
    questions = episode(seed).questions
    times = [question.asked_seconds for question in questions]
    assert len(questions) == 40
    assert times == sorted(times)
    assert times[0] <= 2
    assert times[-1] == 59
    assert np.diff(times).max() <= 2
    kinds = [question.kind for question in questions]
    assert set(kinds) == set(QUESTION_KINDS)
    # Counting has no answer once ten things came, the others take its share.
    assert max(map(kinds.count, QUESTION_KINDS)) <= 8
    assert len({(question.text, question.asked_seconds) for question in questions}) == 40


def test_the_seed_decides():
    assert episode(3).questions == episode(3).questions
    assert episode(3).questions != episode(4).questions


@pytest.mark.parametrize(("duration_seconds", "fps"), [(20, 1.0), (20, 0.5), (20, 2.0), (31, 0.3)])
def test_questions_fall_on_sampled_moments(duration_seconds, fps):
    for question in episode(5, duration_seconds=duration_seconds, fps=fps).questions:
        assert question.asked_seconds < duration_seconds
        assert question.asked_seconds * fps == pytest.approx(round(question.asked_seconds * fps))


def asked(kind, answer, truth, ttft_seconds):
    question = Question(kind=kind, text="?", answer=truth, asked_seconds=0, evidence_seconds=0)
    return Asked(
        question=question,
        answer=answer,
        ttft_seconds=ttft_seconds,
        ttft_with_pending_seconds=ttft_seconds,
        stats=None,
    )


def test_score():
    score = Score.of(
        [
            asked("now", "red cross", "red cross", 0.3),
            asked("now", " Red cross.", "red cross", 0.1),
            asked("first", "red", "red cross", 0.2),
        ]
    )
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.accuracy_by_kind == {"first": 0.0, "now": 1.0}
    assert score.num_asked == {"first": 1, "now": 2}
    assert score.ttft_seconds == 0.2
