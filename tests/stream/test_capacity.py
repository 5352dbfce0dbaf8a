"""What a stream takes of a model's positions."""

from __future__ import annotations

import pytest
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH as PATCH

from hermes_stream import CapacityError, Engine, FullPolicy, HermesPolicy
from hermes_stream.stream import engine as engines
from hermes_stream.stream.capacity import plan_capacity


def test_a_chunk_takes_at_most_half_of_the_positions_that_text_leaves(model):
    few, many = (
        plan_capacity(model, FullPolicy(), chunk_frames=count, text_tokens=32) for count in (3, 10_000)
    )
    room = model.layout.max_positions - len(model.chat.prefix_ids) - many.text_positions - 1
    assert few.chunk_frames == 3
    assert many.chunk_frames == room // 2 // PATCH
    assert room // 4 < many.chunk_frames * PATCH <= room // 2


def test_a_budget_gets_what_chunk_and_text_leave(model):
    capacity = plan_capacity(model, HermesPolicy.paper(10**6), chunk_frames=4, text_tokens=32)
    beside = len(model.chat.prefix_ids) + 4 * PATCH + capacity.text_positions
    assert capacity.policy.budget_tokens < model.layout.max_positions - beside
    assert capacity.policy.budget_tokens >= model.layout.max_positions - beside - PATCH


def test_two_patches_must_fit(model):
    room = model.layout.max_positions - len(model.chat.prefix_ids) - 1
    plan_capacity(model, FullPolicy(), chunk_frames=1, text_tokens=room - 2 * PATCH)
    with pytest.raises(CapacityError, match="no room for two frames"):
        plan_capacity(model, FullPolicy(), chunk_frames=1, text_tokens=room - 2 * PATCH + 1)


def test_an_engine_takes_four_fifths_of_what_is_free(model, monkeypatch):
    monkeypatch.setattr(engines, "free_bytes", lambda _: 1000)
    assert Engine(model).memory_bytes == 800
    monkeypatch.setattr(engines, "free_bytes", lambda _: None)
    assert Engine(model).memory_bytes is None
