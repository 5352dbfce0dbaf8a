"""Options are narrowed down by what the model says, token by token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream import FullPolicy, HermesPolicy, Session
from hermes_stream.stream.question import OptionChoice, check_options, with_lettered_options
from hermes_stream.stream.work import next_token


def logits(**likes: float) -> torch.Tensor:
    """Logits over ten tokens, named t0 to t9."""
    values = torch.full((10,), -1.0)
    for name, value in likes.items():
        values[int(name[1:])] = value
    return values


def test_only_tokens_that_lead_to_an_option_are_said():
    choice = OptionChoice([(1, 2, 9), (1, 3, 9), (4, 2, 9)])
    assert choice.choose_token(logits(t7=5.0, t1=2.0, t4=1.0)) == 1
    assert choice.open_indices == [0, 1]
    assert not choice.is_decided
    assert choice.choose_token(logits(t4=5.0, t3=0.0)) == 3
    assert choice.is_decided
    assert choice.open_indices == [1]


def test_an_option_that_begins_another_is_told_by_its_end():
    for stops, chosen in ((True, 0), (False, 1)):
        choice = OptionChoice([(1, 9), (1, 2, 9)])
        choice.choose_token(logits(t1=1.0))
        assert not choice.is_decided
        choice.choose_token(logits(t9=1.0 if stops else -2.0))
        assert (choice.is_decided, choice.open_indices) == (True, [chosen])


def test_equal_options_are_one():
    choice = OptionChoice([(1, 9), (1, 9)])
    choice.choose_token(logits())
    assert (choice.is_decided, choice.open_indices) == (True, [0, 1])


@pytest.fixture
def speaking(model, monkeypatch):
    """The random model, as one that says an option's text."""
    monkeypatch.setattr(model, "card", replace(model.card, multiple_choice="text"))
    return model


def test_a_model_that_speaks_is_asked_the_bare_question(speaking):
    options = ["red circle", "red square", "blue circle", "red"]
    session = Session(speaking, FullPolicy())
    session.observe(random_frames(4))
    answer = session.ask("what came first?", options)
    chat, said = speaking.chat, []
    asked = chat.question_ids("what came first?")
    left = [[*chat.encode(option), min(chat.stop_token_ids)] for option in options]
    while len(left) > 1:
        mark = session.cache.mark()
        after = torch.cat([speaking.video_end, speaking.embed([*asked, *said])])
        segment = session._stream.context.extend(after)
        scores = session._executor.run(next_token(segment)).logits
        session.cache.rewind(mark)
        said.append(max({option[len(said)] for option in left}, key=lambda token: scores[token].item()))
        left = [option for option in left if option[: len(said)] == said]
    assert chat.encode(answer.text) == left[0][:-1]
    assert answer.text == options[answer.option_index]
    assert answer.finish_reason == "stop"


def test_the_memory_is_the_same_after_a_choice(speaking):
    session = Session(speaking, HermesPolicy.paper(40), chunk_frames=4)
    session.observe(random_frames(8))
    before = session.next_token_logits("what came first?")
    session.ask("what came first?", ["red circle", "red square", "blue circle"])
    assert torch.equal(session.next_token_logits("what came first?"), before)


def test_lettered_options_are_phrased_as_the_paper_does():
    assert (
        with_lettered_options("why?", ["x", "y"])
        == "Question: why?\nOptions:\n(A) x\n(B) y\nOnly give the best option."
    )


@pytest.mark.parametrize("options", [["one"], "ab", ["a", " "], ["a"] * 27])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="option"):
        check_options(options)
