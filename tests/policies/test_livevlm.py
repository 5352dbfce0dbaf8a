from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkpoints import plain_inputs, plain_model, random_frames, visual_tokens
from tests.policies.states import kept_rows, make_state, states

from hermes_stream import Session
from hermes_stream.memory.state import MemoryState
from hermes_stream.policies.livevlm import LiveVlmPolicy


def oracle(policy: LiveVlmPolicy, state: MemoryState, layer: int) -> list[int]:
    n = int(state.lengths[layer])
    attention, frames = (part[layer, :n].tolist() for part in (state.attention, state.temporal_patch_ids))
    recent: list[int] = []
    for frame in sorted({f for f in frames if f > max(frames) - policy.recent_patches}, reverse=True):
        tokens = [i for i in range(n) if frames[i] == frame]
        if len(recent) + len(tokens) > policy.budget_tokens // 2:
            recent = recent or tokens[len(tokens) - policy.budget_tokens // 2 :]
            break
        recent += tokens
    older = [i for i in range(n) if i not in recent]
    room = policy.budget_tokens - len(recent)
    by_score = sorted(older, key=lambda i: (-attention[i], i))
    chosen = by_score[: int(policy.sink_share * room)]
    num_buckets = max(room // policy.bucket_tokens, 1)

    def bucket(i: int) -> int:
        return math.ceil((older.index(i) + 1) * num_buckets / len(older))

    for i in by_score:
        held = [j for j in chosen if bucket(j) == bucket(i)]
        if i not in chosen and len(held) < policy.bucket_tokens and len(chosen) < room:
            chosen.append(i)
    chosen += [i for i in by_score if i not in chosen][: room - len(chosen)]
    return sorted(recent + chosen)


@settings(max_examples=100, deadline=None)
@given(states, st.integers(1, 16), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 3))
def test_plan_fills_the_buckets(state, budget_tokens, recent_patches, sink_share, bucket_tokens):
    policy = LiveVlmPolicy(
        budget_tokens=budget_tokens,
        recent_patches=recent_patches,
        sink_share=sink_share,
        bucket_tokens=bucket_tokens,
    )
    for layer, kept in enumerate(kept_rows(policy.plan(state))):
        assert kept == oracle(policy, state, layer)


def test_every_stretch_of_the_past_keeps_its_best():
    state = make_state([40], tokens_per_temporal_patch=1)
    attention = torch.linspace(1, 0.1, 40)[None]  # the beginning has the most
    policy = LiveVlmPolicy(budget_tokens=8, recent_patches=0, sink_share=0.0)
    plan = policy.plan(replace(state, attention=attention))
    assert kept_rows(plan) == [list(range(0, 40, 5))]


def test_the_newest_tokens_are_observed_as_they_are_prefilled(model, checkpoint_folder, monkeypatch):
    frames = random_frames(5)
    states = []
    plan_of = LiveVlmPolicy.plan
    monkeypatch.setattr(
        LiveVlmPolicy, "plan", lambda policy, state: states.append(state) or plan_of(policy, state)
    )
    session = Session(model, LiveVlmPolicy(budget_tokens=30, observed_tokens=7), chunk_frames=5)
    session.observe(frames)
    plain = plain_model(checkpoint_folder, "eager")
    ids = plain_inputs(model, frames, "x")["input_ids"][0]
    first = session.cache.num_prefix_tokens
    with torch.no_grad():
        embeddings = model.embed(ids[: first + 45].tolist())
        embeddings[first:] = visual_tokens(model, frames, start_seconds=0.0, num_patches_before=0).embeddings
        attentions = plain.model.language_model(
            inputs_embeds=embeddings[None], output_attentions=True
        ).attentions
    eager = torch.stack([layer[0, :, -7:, first:].mean(dim=(0, 1)) for layer in attentions])
    torch.testing.assert_close(states[0].attention, eager, rtol=1e-4, atol=1e-6)


def test_it_observes_instead_of_reading_prompts():
    guidance = LiveVlmPolicy(observed_tokens=5).guidance(2, None, None)
    assert (guidance.prompts, guidance.prompt_of_layer, guidance.observed_tokens) == ((), (None, None), 5)
    with pytest.raises(ValueError, match="attention"):
        LiveVlmPolicy().plan(replace(make_state([3]), attention=None))
    with pytest.raises(ValueError, match="sink_share"):
        LiveVlmPolicy(sink_share=2.0)
