"""Whether an answer was never shown: "not seen", offered, scored, and given where the checkpoint says so."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream import Engine, Session, load_model
from hermes_stream.errors import CapacityError, ModelError
from hermes_stream.models.settings import Settings
from hermes_stream.stream.question import ANSWER_OPENING
from hermes_stream.stream.scoring import ScoredQuestion
from hermes_stream.stream.unseen import UnseenQuestion

QUESTION = "what is on screen now?"
OPTIONS = ["red circle", "green square", "blue cross"]


def watching(model, *, unseen_at: float, **options):
    """Return a session on a model whose checkpoint says when "not seen" is the answer."""
    model = copy.copy(model)
    model.card = replace(model.card, unseen_at=unseen_at)
    session = Session(model, chunk_frames=4, guidance_from_questions=False, **options)
    session.observe(random_frames(6))
    return session


@pytest.mark.parametrize("options", [None, OPTIONS])
@pytest.mark.parametrize("policy", ["hermes", "recent_n", "rekv"])
def test_from_the_threshold_on_the_answer_is_not_seen(model, options, policy):
    session = watching(model, unseen_at=0.0, policy=policy)
    before = session.next_token_logits(QUESTION)
    answer = session.ask(QUESTION, options, allow_unseen=True)
    assert answer.unseen
    assert answer.text == "not seen"
    assert answer.option_index is None
    assert answer.finish_reason == "stop"
    assert 0 <= answer.unseen_score <= 1
    assert answer.confidence == answer.unseen_score
    assert answer.ttft_seconds > 0
    assert torch.equal(session.next_token_logits(QUESTION), before)


@pytest.mark.parametrize("options", [None, OPTIONS])
@pytest.mark.parametrize("clarify_below", [None, 0.0])
def test_below_it_the_answer_is_what_it_is_without(model, options, clarify_below):
    session = watching(model, unseen_at=1.0)
    plain = session.ask(QUESTION, options, max_new_tokens=4)
    text = plain.text
    answer = session.ask(QUESTION, options, max_new_tokens=4, allow_unseen=True, clarify_below=clarify_below)
    assert (answer.text, answer.option_index, answer.token_ids) == (text, plain.option_index, plain.token_ids)
    assert not answer.unseen
    assert 0 <= answer.unseen_score < 0.5
    assert (plain.unseen, plain.unseen_score) == (False, None)


def test_the_score_of_options_is_not_seen_against_the_best_of_them(model):
    session = watching(model, unseen_at=1.0)
    logits = session.next_token_logits(QUESTION, [*OPTIONS, "not seen"])
    letters = [model.chat.encode(letter)[0] for letter in "ABCD"]
    *others, unseen = logits.log_softmax(-1)[letters].tolist()
    expected = math.exp(unseen) / (math.exp(unseen) + math.exp(max(others)))
    answer = session.ask(QUESTION, OPTIONS, allow_unseen=True)
    assert answer.unseen_score == pytest.approx(expected, rel=1e-4)
    assert ANSWER_OPENING.endswith("(")


def test_the_score_of_open_words_is_not_seen_against_the_best_other_beginning():
    """Two spellings: 1 2 and 3 2; the model may also begin with 4, or with 1 and go on otherwise."""
    scored = ScoredQuestion(token_ids=(9,), answers=(((1, 2), (3, 2)),))
    question = UnseenQuestion(scored=scored, is_open=True, unseen_at=0.5)
    first = torch.tensor([0.05, 0.5, 0.05, 0.1, 0.3])
    second = torch.tensor([0.1, 0.1, 0.6, 0.1, 0.1])
    branch = torch.stack([first, second]).log()
    assert [length for _, length in scored.branches] == [2, 2]
    unseen = 0.5 * 0.6 + 0.1 * 0.6
    assert question.read([branch, branch]) == pytest.approx(unseen / (unseen + 0.3), rel=1e-5)


def test_a_model_that_would_say_so_by_itself_is_not_kept_from_it(model):
    model = copy.copy(model)
    model.card = replace(model.card, unseen_at=0.9)
    phrased = UnseenQuestion.phrase(model, QUESTION, None, text_tokens=200)
    assert phrased.unseen_at == 0.5
    assert UnseenQuestion.phrase(model, QUESTION, OPTIONS, text_tokens=200).unseen_at == 0.9


def test_an_engine_answers_as_a_session_and_a_question_may_wait(model):
    session = watching(model, unseen_at=0.0)
    score = session.ask(QUESTION, OPTIONS, allow_unseen=True).unseen_score
    handle = Engine(session.model).add(chunk_frames=4, guidance_from_questions=False)
    handle.observe(random_frames(6))
    answer = handle.ask(QUESTION, OPTIONS, allow_unseen=True)
    assert answer.text == "not seen"
    assert answer.unseen_score == pytest.approx(score, abs=1e-5)
    waiting = session.ask(QUESTION, OPTIONS, wait_seconds=60, allow_unseen=True)
    waiting.cancel()


def test_what_cannot_offer_it_is_told_at_once(model):
    session = watching(model, unseen_at=0.5)
    with pytest.raises(ValueError, match="beside the options, and 'Not seen' is one of them; leave it out"):
        session.ask(QUESTION, ["red", "Not seen"], allow_unseen=True)
    with pytest.raises(ValueError, match="at most 25 options, got 26"):
        session.ask(QUESTION, [f"option {k}" for k in range(26)], allow_unseen=True)
    with pytest.raises(ValueError, match="allow_unseen must be True or False, got 'yes'"):
        session.ask(QUESTION, allow_unseen="yes")
    narrow = watching(model, unseen_at=0.5, text_tokens=len(model.chat.question_ids(QUESTION, "")) + 2)
    with pytest.raises(CapacityError, match="text_tokens"):
        narrow.ask(QUESTION, max_new_tokens=1, allow_unseen=True)


def test_a_vocabulary_without_the_words_is_told():
    from hermes_stream.models.vocabulary import unknown_words

    model = load_model("tiny", device="cpu")
    session = Session(model, fps=1)
    session.observe(random_frames(3))
    if unknown_words(model.chat.tokenizer, "not seen"):
        with pytest.raises(ValueError, match="has no word 'not' in its vocabulary"):
            session.ask("what came first?", allow_unseen=True)
    else:
        assert session.ask("what came first?", allow_unseen=True).unseen_score is not None


def test_the_checkpoint_says_when():
    from hermes_stream.models.card import read_unseen_at

    assert read_unseen_at(SimpleNamespace()) == 0.5
    assert read_unseen_at(SimpleNamespace(unseen_at=0.8)) == 0.8
    for wrong in (-0.1, 1.1, "high", True):
        with pytest.raises(ModelError, match=r"unseen_at in config\.json"):
            read_unseen_at(SimpleNamespace(unseen_at=wrong))
    assert Settings({"unseen_at": 0}, "config.json").number("unseen_at", 0.5, least=0.0) == 0
