from __future__ import annotations

import pytest

from hermes_lab.bench.fixed_question import find_question, never_stopping
from hermes_stream import CapacityError


def test_the_question_has_the_tokens_asked_for(model):
    asking = find_question(model, question_tokens=16, new_tokens=3)
    assert len(model.chat.question_ids(asking.question)) + len(model.video_end) == asking.num_tokens == 16


def test_the_shortest_question_is_one_word(model):
    asking = find_question(model, question_tokens=1, new_tokens=2)
    assert " " not in asking.question
    assert asking.num_tokens > 1


def test_a_question_without_room_is_refused(model):
    with pytest.raises(CapacityError, match="lower question_tokens or new_tokens"):
        find_question(model, question_tokens=5000, new_tokens=2)


def test_a_model_that_never_stops_is_another_object(model):
    assert never_stopping(model).chat.stop_token_ids == frozenset()
    assert model.chat.stop_token_ids
