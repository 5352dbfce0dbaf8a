"""What a stream takes of a model's positions."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH as PATCH
from tests.families import FAMILIES, pictures

from hermes_stream import (
    POLICIES,
    CapacityError,
    Engine,
    FullPolicy,
    HermesPolicy,
    Session,
    SnapshotError,
    WindowPolicy,
    load_model,
)
from hermes_stream.policies.named import choose_policy
from hermes_stream.stream import capacity as capacity_module
from hermes_stream.stream import engine as engines
from hermes_stream.stream.capacity import num_streams_in_time, plan_capacity, stream_bytes
from hermes_stream.stream.changes import ChunkFolded


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


@pytest.mark.parametrize("name", ["qwen3_vl", "internvl", "smolvlm"])
def test_a_budget_below_the_text_of_one_frame_is_refused_with_the_numbers(name, tmp_path):
    model = load_model(FAMILIES[name].save(tmp_path), device="cpu")
    num_text = model.card.text_tokens_per_temporal_patch
    assert 0 < num_text < model.card.tokens_per_temporal_patch
    for policy in (HermesPolicy.paper(num_text), WindowPolicy(budget_tokens=num_text)):
        with pytest.raises(CapacityError, match=rf"leaves a layer {num_text}.*at least {num_text + 1}"):
            Session(model, policy)
    shares = HermesPolicy(budget_tokens=num_text + 2, tier_budget_weights=(0.5, 1.0, 1.5))
    with pytest.raises(CapacityError, match="text of one frame"):
        Session(model, shares)
    for policy in POLICIES:
        if policy not in ("full", "recent_n"):  # recent_n refuses less than a whole frame by itself
            shares = 2 if policy.startswith("re") else 1  # memory and archive
            session = Session(model, policy, budget_tokens=shares * (num_text + 1), chunk_frames=4)
            session.observe(pictures(12))
            session.flush()
            counts = session.cache.state().counts
            assert (counts > 0).any(dim=1).all(), policy


@pytest.mark.parametrize("policy", ["hermes", "window", "recent_n", "full"])
@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_a_chunk_of_large_pictures_goes_in_part_by_part(name, policy, tmp_path, monkeypatch):
    family = FAMILIES[name]
    model = load_model(family.save(tmp_path), device="cpu")
    card = model.card
    largest = max(((24, 24), *family.sizes), key=lambda size: model.num_tokens(*size))
    small, large = model.num_tokens(16, 16), model.num_tokens(*largest)
    assert small < large <= card.tokens_per_temporal_patch
    chunk_frames, budget = 4 * card.frames_per_temporal_patch, None if policy == "full" else 3 * large

    def slots():
        own = choose_policy(policy, budget, large)
        return plan_capacity(model, own, chunk_frames=chunk_frames, text_tokens=1).slots_of_layer[0]

    def watched(frames, size):
        session = Session(model, policy, budget_tokens=budget, chunk_frames=size)
        told = []
        session._stream.changes.listener = told.append
        session.observe(frames)
        session.flush()
        return session, [one.what.num_frames for one in told if isinstance(one.what, ChunkFolded)]

    slots_before = slots()
    monkeypatch.setattr(capacity_module, "_CHUNK_TOKENS", 3 * card.tokens_per_temporal_patch)
    parts, folded = watched(pictures(2 * chunk_frames, size=largest), chunk_frames)
    halves, folded_by_halves = watched(pictures(2 * chunk_frames, size=largest), chunk_frames // 2)
    assert folded == folded_by_halves == [chunk_frames // 2] * 4, "even parts"
    for layer in range(model.layout.num_layers):
        assert torch.equal(parts.cache.rotated_keys(layer), halves.cache.rotated_keys(layer))
    assert parts.next_token_logits("what is it?").equal(halves.next_token_logits("what is it?"))
    assert slots_before - slots() == 2 * card.tokens_per_temporal_patch
    _, folded = watched(pictures(2 * chunk_frames, size=(16, 16)), chunk_frames)
    at_once = min(4, 2 * card.tokens_per_temporal_patch // small) * card.frames_per_temporal_patch
    assert at_once > chunk_frames // 2, "small ones still go in together"
    assert folded == [one for one in (at_once, chunk_frames - at_once) if one] * 2


def test_a_chunk_that_went_in_at_once_is_not_folded_again_where_it_is_too_large(tmp_path, monkeypatch):
    model = load_model(FAMILIES["qwen2_5_vl"].save(tmp_path), device="cpu")
    before, told = Session(model, "window", budget_tokens=40, chunk_frames=8), []
    before._stream.changes.listener = told.append
    before.observe(pictures(8))
    Session(model, "window", budget_tokens=40, chunk_frames=8)._stream.replay(told)
    monkeypatch.setattr(capacity_module, "_CHUNK_TOKENS", 2 * model.card.tokens_per_temporal_patch)
    after = Session(model, "window", budget_tokens=40, chunk_frames=8)
    with pytest.raises(SnapshotError, match="do not go in at once"):
        after._stream.replay(told)
    assert after.stats.num_visual_tokens_seen == 0


def test_an_engine_takes_four_fifths_of_what_is_free(model, monkeypatch):
    monkeypatch.setattr(engines, "free_bytes", lambda _: 1000)
    assert Engine(model).memory_bytes == 800
    monkeypatch.setattr(engines, "free_bytes", lambda _: None)
    assert Engine(model).memory_bytes is None


def test_what_is_not_said_is_taken_of_the_models_positions(model):
    plan = plan_capacity(model, WindowPolicy(budget_tokens=45), chunk_frames=4, text_tokens=None)
    assert plan.text_tokens == min(2048, model.layout.max_positions // 8)
    assert plan.chunk_positions == model.layout.max_positions - plan.text_positions
    with pytest.raises(ValueError, match="kv_bits must be 8"):
        plan_capacity(model, WindowPolicy(budget_tokens=45), chunk_frames=4, text_tokens=None, kv_bits=4)


def test_a_layer_has_slots_for_its_budget_or_one_patch(model):
    own, few = (
        plan_capacity(model, WindowPolicy(budget_tokens=budget), chunk_frames=1, text_tokens=16)
        for budget in (PATCH, 1)
    )
    assert own.slots_of_layer == few.slots_of_layer


def test_a_tenth_of_the_time_is_left_for_people():
    assert [num_streams_in_time(seconds) for seconds in (0.3, 0.31, 0.95)] == [3, 2, 0]


@pytest.mark.parametrize("policy", ["rekv", "resv"])
def test_what_a_stream_takes_is_told_with_what_its_questions_read(model, policy):
    session = Session(model, policy, budget_tokens=90, chunk_frames=4, text_tokens=32)
    own = choose_policy(policy, 90, PATCH)
    plan = plan_capacity(model, own, chunk_frames=4, text_tokens=32)
    workspace = session._stream.context._retriever.workspace
    assert stream_bytes(model, plan) == session.cache.num_bytes + workspace.num_bytes
