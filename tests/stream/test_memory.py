"""How chunks enter the memory."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH as PATCH
from tests.checkpoints import random_frames
from tests.families import FAMILIES, pictures

from hermes_stream import FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.policies import LiveVlmPolicy
from hermes_stream.stream import memory as memories
from hermes_stream.stream.executor import Executor

QUESTION = "what came first?"


def prefilled(monkeypatch) -> list[int]:
    """Note how many tokens each forward of a chunk takes."""
    lengths, serve = [], Executor.serve

    def noting(executor, requests):
        lengths.extend(one.num_tokens for one in requests if getattr(one, "stage", "") == "prefill")
        return serve(executor, requests)

    monkeypatch.setattr(Executor, "serve", noting)
    return lengths


@pytest.mark.parametrize(
    ("num_frames", "slices"), [(4, [36]), (5, [22, 23]), (8, [36, 36]), (9, [27, 27, 27]), (1, [9])]
)
def test_a_long_chunk_is_prefilled_in_equal_slices(model, monkeypatch, num_frames, slices):
    whole = Session(model, FullPolicy(), chunk_frames=num_frames)
    whole.observe(random_frames(num_frames))
    monkeypatch.setattr(memories, "_SLICE_TOKENS", 4 * PATCH)
    session = Session(model, FullPolicy(), chunk_frames=num_frames)
    lengths = prefilled(monkeypatch)
    session.observe(random_frames(num_frames))
    assert lengths == slices
    torch.testing.assert_close(
        session.next_token_logits(QUESTION), whole.next_token_logits(QUESTION), rtol=1e-4, atol=1e-5
    )


def test_a_chunk_that_is_observed_is_prefilled_whole(model, monkeypatch):
    monkeypatch.setattr(memories, "_SLICE_TOKENS", 4 * PATCH)
    session = Session(model, LiveVlmPolicy(budget_tokens=40), chunk_frames=9)
    lengths = prefilled(monkeypatch)
    session.observe(random_frames(9))
    assert lengths == [9 * PATCH]
    assert session.stats.num_compressions == 1


def test_no_policy_sees_text_tokens(tmp_path, monkeypatch):
    model = load_model(FAMILIES["qwen3_vl"].save(tmp_path), device="cpu")
    counts, plan = [], WindowPolicy.plan

    def noting(policy, state):
        counts.append(state.counts[state.present])
        return plan(policy, state)

    monkeypatch.setattr(WindowPolicy, "plan", noting)
    session = Session(model, WindowPolicy(budget_tokens=60), chunk_frames=4)
    session.observe(pictures(24))
    assert len(counts) > 2
    assert all((seen > 0).all() for seen in counts)


def test_a_chunk_that_is_abandoned_leaves_the_memory_as_it_was(model):
    frames = random_frames(12)
    session, undisturbed = (Session(model, HermesPolicy.paper(40), chunk_frames=4) for _ in range(2))
    undisturbed.observe(frames)
    session.observe(frames[:8])
    before = session.cache.mark()
    for frame in frames[8:]:
        session._stream.intake.accept(frame)
    work = session._stream.fold()
    with torch.inference_mode():
        request = next(work)  # an encode
        request = work.send(session._executor.serve([request])[0])  # a forward
        session._executor.serve([request])
    work.close()
    assert session.cache.mark() == before
    assert session.stats.num_pending_frames == 4
    session.flush()
    assert torch.equal(session.next_token_logits(QUESTION), undisturbed.next_token_logits(QUESTION))


def test_a_conversation_counts_three_times_and_fits(model):
    """The mixed prompt has it twice and the global one once; together they stay within 256 tokens."""
    session = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    session._stream.memory.remember_conversation("what came first? " * 200, "a red circle")
    conversation = session._stream.memory._last_conversation
    assert conversation is not None
    assert 3 * len(model.chat.encode(conversation)) <= 256
