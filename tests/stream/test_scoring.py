"""Scored questions: the same probabilities as an answer's own, and the memory is not touched."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.checkpoints import random_frames
from tests.lives import is_same, streams

from hermes_stream import HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.errors import CapacityError, ModelError
from hermes_stream.policies import RecentNPolicy, RekvPolicy
from hermes_stream.policies.base import keeping
from hermes_stream.stream.scoring import YES_NO, ScoredQuestion, probabilities, score, spellings

QUESTIONS = ("was there a red circle?", "is there a square now?", "how many crosses came so far?")


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", device="cpu")


def session_of(model, policy, num_frames: int = 23, **options) -> Session:
    session = Session(model, policy, chunk_frames=4, **options)
    session.observe(random_frames(num_frames, seed=1))
    session.flush()
    return session


def scores_of(session: Session, questions: list[ScoredQuestion]) -> list[tuple[float, ...]]:
    (stream,) = streams(session)

    def work():
        yield from stream.prepare_context()
        return (yield from score(stream.model, stream.context, questions))

    return stream.executor.run(work())


@pytest.mark.parametrize(
    "policy", [HermesPolicy.best(60), WindowPolicy(budget_tokens=45), RecentNPolicy(budget_tokens=30)]
)
def test_yes_and_no_are_as_likely_as_in_an_answer_of_its_own(tiny, policy):
    session = session_of(tiny, policy)
    questions = [ScoredQuestion.of_words(tiny, text, YES_NO, text_tokens=64) for text in QUESTIONS[:2]]
    found = scores_of(session, questions)
    for text, question, own in zip(QUESTIONS, questions, found, strict=False):
        logprobs = session.next_token_logits(text).log_softmax(dim=-1)
        expected = [
            torch.logsumexp(logprobs[[ids[0] for ids in answer]], 0).item() for answer in question.answers
        ]
        assert own == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"kv_bits": 8}])
@pytest.mark.parametrize("num_frames", [3, 23])
def test_many_questions_at_once_are_as_each_alone(model, num_frames, options):
    session = session_of(model, HermesPolicy.best(60), num_frames, **options)
    questions = [
        ScoredQuestion.of_options(model, text, ["a circle", "a square", "a star"], text_tokens=200)
        for text in QUESTIONS
    ]
    together = scores_of(session, questions)
    alone = [scores_of(session, [one])[0] for one in questions]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_likeliest_option_is_the_one_that_is_chosen(tiny):
    session = session_of(tiny, HermesPolicy.best(60))
    options = ["red circle", "blue square", "nothing"]
    question = ScoredQuestion.of_options(tiny, "what is on screen now?", options, text_tokens=64)
    assert question.branches == [(question.token_ids, 1)]
    (found,) = scores_of(session, [question])
    chosen = session.ask("what is on screen now?", options).option_index
    assert max(range(3), key=found.__getitem__) == chosen


def test_options_that_begin_alike_are_read_as_far_as_they_are_told_apart(tiny):
    session = session_of(tiny, HermesPolicy.best(60))
    options = ["red circle", "red square", "nothing"]
    question = ScoredQuestion.of_options(tiny, "what is on screen now?", options, text_tokens=64)
    (found,) = scores_of(session, [question])
    nothing = tiny.chat.encode("nothing")[0]
    first = session.next_token_logits("what is on screen now?").log_softmax(dim=-1)
    assert found[2] == pytest.approx(float(first[nothing]), abs=1e-4)
    red = math.log(math.exp(found[0]) + math.exp(found[1]))
    assert red < float(first[tiny.chat.encode("red")[0]])
    # one text is read for all of them, which begins like the two
    assert len(question.branches) == 1


def test_an_option_that_another_one_begins_with_ends_in_its_stop_token(tiny):
    places = ["top", "top left", "left", "bottom", "bottom left"]
    question = ScoredQuestion.of_options(tiny, "where is the red circle now?", places, text_tokens=64)
    top, top_left, left, bottom, bottom_left = (answer[0] for answer in question.answers)
    assert len(left) == 1
    assert top[0] == top_left[0]
    assert top[1] in tiny.chat.stop_token_ids
    assert bottom[0] == bottom_left[0]
    assert [count for _, count in question.branches] == [2, 2]


@pytest.mark.parametrize("policy", [HermesPolicy.best(60), RekvPolicy(budget_tokens=60)])
def test_scoring_leaves_the_memory_as_it_was_to_the_bit(tiny, policy):
    asked, left_alone = session_of(tiny, policy), session_of(tiny, policy)
    buffers = [tensor.clone() for tensor in asked.cache.buffers.tensors]
    questions = [ScoredQuestion.of_words(tiny, text, YES_NO, text_tokens=64) for text in QUESTIONS]
    for _ in range(3):
        scores_of(asked, questions)
    assert is_same(*streams(asked, left_alone))
    # also what lies behind the memory, where an answer would have been
    assert all(map(torch.equal, buffers, asked.cache.buffers.tensors))


def test_spellings_are_single_tokens_of_the_word_itself(tiny):
    assert spellings(tiny.chat, "Yes") == [tiny.chat.encode("yes")[0]]
    assert spellings(tiny.chat, "zebra") == []


def test_words_that_the_vocabulary_lacks_are_named(tiny):
    with pytest.raises(ModelError, match=r"no single token for 'ja'.*give options"):
        ScoredQuestion.of_words(tiny, "is it?", (("ja",), ("no",)), text_tokens=64)


def test_a_question_must_fit(tiny):
    with pytest.raises(CapacityError, match="shorter question"):
        ScoredQuestion.of_words(tiny, "red " * 90, YES_NO, text_tokens=64)


def test_probabilities_are_those_among_the_answers_and_the_usual_is_taken_off():
    assert probabilities((math.log(0.3), math.log(0.1))) == pytest.approx((0.75, 0.25))
    usual = (math.log(0.3), math.log(0.1))
    assert probabilities((math.log(0.3), math.log(0.1)), usual=usual) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("options", [{}, {"kv_bits": 8}])
@pytest.mark.parametrize("policy", [HermesPolicy.paper(60), HermesPolicy.best(60)])
def test_a_question_about_now_reads_as_if_older_tokens_were_gone(model, policy, options):
    session = session_of(model, policy, **options)
    whole, *_ = questions = [
        ScoredQuestion.of_words(model, text, YES_NO, text_tokens=64) for text in QUESTIONS[:2]
    ]
    about_now = [
        replace(one, newest_seconds=seconds) for one, seconds in zip(questions, (1.5, 4.0), strict=True)
    ]
    mixed = scores_of(session, [*about_now, whole, replace(whole, newest_seconds=1e6)])
    assert mixed[2] == pytest.approx(scores_of(session, [whole])[0], abs=1e-4)
    assert mixed[3] == pytest.approx(mixed[2], abs=1e-4)
    assert mixed[0] != pytest.approx(mixed[2], abs=1e-3)
    for question, found in zip(about_now, mixed, strict=False):
        (own,) = streams(other := session.fork())
        state = own.cache.state()
        newest = state.pts_seconds.masked_fill(~state.present, -math.inf).max()
        is_new = state.present & (state.pts_seconds > newest - question.newest_seconds)
        assert 0 < is_new.sum() < state.present.sum()
        own.cache.apply(keeping(is_new))
        assert scores_of(other, [replace(question, newest_seconds=None)])[0] == pytest.approx(found, abs=1e-4)
