"""How sure an answer is, and the question back where it is not."""

from __future__ import annotations

import math

import pytest
import torch
from tests.checkpoints import random_frames
from tests.image_checkpoints import save_internvl

from hermes_stream import Engine, Session, load_model
from hermes_stream.stream import clarifying
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.clarifying import fixed_question
from hermes_stream.stream.decoding import probability_of
from hermes_stream.stream.question import OptionChoice
from hermes_stream.synthetic.world import generate_world

QUESTION = "what is on screen now?"
OPTIONS = ["red circle", "green square", "blue cross"]


@pytest.fixture(scope="module")
def watching():
    session = Session(load_model("tiny"), fps=1, chunk_frames=4, guidance_from_questions=False)
    session.observe(generate_world(5, 12).frames(1.0))
    return session


def test_a_probability_is_that_of_the_softmax():
    logits = torch.tensor([1.0, 2.0, 4.0])
    assert probability_of(logits, 1) == pytest.approx(float(logits.softmax(-1)[1]), rel=1e-6)


def test_the_confidence_of_open_words_is_the_mean_probability_of_their_tokens(watching):
    answer = watching.ask(QUESTION)
    assert answer.text
    logits = watching.next_token_logits(QUESTION)
    first = math.exp(float(logits.log_softmax(-1)[answer.token_ids[0]]))
    assert 0 < answer.confidence <= 1
    if len(answer.token_ids) == 1:
        assert answer.confidence == pytest.approx(first, rel=1e-5)
    assert not answer.clarification
    assert answer.guess is None
    given = Answer("q")
    for probability in (0.5, 1.0, 0.75):
        given.note_token(1, probability)
    assert given.confidence == pytest.approx(0.75)


def test_the_confidence_of_an_option_is_its_share_and_the_second_is_named(watching):
    answer = watching.ask(QUESTION, OPTIONS)
    assert answer.text == OPTIONS[answer.option_index]
    assert answer.runner_up in set(OPTIONS) - {answer.text}
    assert 0 < answer.confidence <= 1


def test_shares_of_options_are_multiplied_and_the_closest_step_names_the_second():
    choice = OptionChoice([(1, 2), (1, 3), (4, 5)])
    logits = torch.zeros(6)
    logits[1], logits[4] = math.log(9), 0.0
    assert choice.choose_token(logits) == 1
    assert choice.share == pytest.approx(0.9)
    logits[2], logits[3] = math.log(3), math.log(1)
    assert choice.choose_token(logits) == 2
    assert choice.share == pytest.approx(0.9 * 0.75)
    assert choice.runner_up == 1
    assert choice.is_decided


@pytest.mark.parametrize("options", [None, OPTIONS])
def test_what_the_model_is_not_sure_of_comes_back_as_a_question(watching, options):
    plain = watching.ask(QUESTION, options)
    guess, confidence, second = plain.text, plain.confidence, plain.runner_up
    before = watching.stats.cache_bytes, watching.next_token_logits(QUESTION)
    asked = watching.ask(QUESTION, options, clarify_below=1.0)
    if confidence < 1:
        assert asked.clarification
        assert asked.guess == guess
        assert asked.runner_up == second
        assert asked.text.endswith("?")
        assert asked.option_index is None
        assert asked.finish_reason == "stop"
    assert asked.confidence == pytest.approx(confidence)
    assert not watching.ask(QUESTION, options, clarify_below=confidence).clarification
    # never below 0: the answer comes, whole
    sure = watching.ask(QUESTION, options, clarify_below=0.0)
    assert (sure.text, sure.option_index, sure.token_ids) == (guess, plain.option_index, plain.token_ids)
    assert not sure.clarification
    assert sure.ttft_seconds > 0
    assert watching.stats.cache_bytes == before[0]
    assert torch.equal(watching.next_token_logits(QUESTION), before[1])


@pytest.fixture
def asking(tmp_path):
    """Asks a model whose vocabulary is of pieces of words, given room for text."""
    engine = Engine(load_model(save_internvl(tmp_path), device="cpu"))

    def ask(options=None, text_tokens=400, **choices):
        handle = engine.add(policy="window", budget_tokens=40, chunk_frames=4, text_tokens=text_tokens)
        handle.observe(random_frames(6))
        answer = handle.ask(QUESTION, options, max_new_tokens=4, **choices)
        assert answer.text
        return answer

    return ask


def test_a_model_that_has_the_words_asks_in_its_own(asking):
    guess = asking().text.strip()
    asked = [asking(text_tokens=room, clarify_below=1.0) for room in (400, 160, 140)]
    assert all(one.clarification and one.guess == guess for one in asked)
    at_most, as_many_as_fit, none = (len(one.token_ids) for one in asked)
    assert at_most == 48 > as_many_as_fit > none == 0
    assert asked[0].text.startswith(asked[1].text)
    assert asked[1].text != fixed_question(asked[1])
    # without room for that question it is said in fixed words
    assert asked[2].text == fixed_question(asked[2])


def test_what_says_nothing_is_no_question_back(asking, monkeypatch):
    def nothing(_model, _context, _question, answer, *, sampling):
        answer.finish_reason = "stop"
        yield from ()
        return " "

    monkeypatch.setattr(clarifying, "decode_answer", nothing)
    asked = asking(OPTIONS, clarify_below=1.0)
    assert asked.text == fixed_question(asked)
    assert not asking(clarify_below=1.0).clarification


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_a_bound_outside_of_0_to_1_is_refused(watching, wrong):
    with pytest.raises(ValueError, match="clarify_below must be from 0 to 1"):
        watching.ask(QUESTION, clarify_below=wrong)
