"""How chunks enter the memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH as PATCH
from tests.checkpoints import random_frames
from tests.families import FAMILIES, pictures
from tests.lives import is_same

from hermes_stream import FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.policies import LiveVlmPolicy
from hermes_stream.stream import memory as memories
from hermes_stream.stream.changes import MemoryCompressed
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.memory_budget import MemoryBudget

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
    counts, choosing = [], WindowPolicy.choosing

    def noting(policy, state):
        counts.append(state.counts[state.present])
        return choosing(policy, state)

    monkeypatch.setattr(WindowPolicy, "choosing", noting)
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
    session._stream.memory.guidance.remember("what came first? " * 200, "a red circle")
    conversation = session._stream.memory.guidance.last_conversation
    assert conversation is not None
    assert 3 * len(model.chat.encode(conversation)) <= 256


def over_budget_at_the_next_frame(model, policy, *, defers_compression=True) -> Session:
    """Return a session whose memory is full to its budget, one frame waiting."""
    session = Session(model, policy, chunk_frames=4, text_tokens=96, defers_compression=defers_compression)
    session.observe(random_frames(8))
    session.flush()
    assert session.stats.num_compressions > 0
    session.observe(random_frames(1, start=8))
    return session


PUT_OFF = [HermesPolicy.best(40), HermesPolicy.paper(40), WindowPolicy(budget_tokens=40)]


@pytest.mark.parametrize("policy", PUT_OFF, ids=repr)
def test_a_question_behind_a_frame_puts_a_compression_off(model, policy):
    session = over_budget_at_the_next_frame(model, policy)
    before = session.stats
    first = session.ask(QUESTION, max_new_tokens=2).text
    assert session.stats.num_compressions == before.num_compressions
    assert session.stats.num_visual_tokens_kept == before.num_visual_tokens_kept + PATCH
    assert session.stats.num_visual_tokens_over_budget == session.stats.num_visual_tokens_kept - 40
    assert before.num_visual_tokens_over_budget == 0
    assert session.ask(QUESTION, max_new_tokens=2).text == first
    session.observe(random_frames(4, start=9))
    assert session.stats.num_compressions > before.num_compressions
    assert session.stats.num_visual_tokens_kept <= 40


def test_a_question_that_does_not_fit_the_free_slots_waits_for_a_compression(model):
    session = over_budget_at_the_next_frame(model, WindowPolicy(budget_tokens=40))
    before = session.stats.num_compressions
    session.ask(QUESTION)  # without a limit an answer may take all the room
    assert session.stats.num_compressions == before + 1


@pytest.mark.parametrize("policy", PUT_OFF, ids=repr)
def test_nothing_is_put_off_unless_one_says_so(model, policy):
    session = over_budget_at_the_next_frame(model, policy, defers_compression=False)
    before = session.stats.num_compressions
    session.ask(QUESTION, max_new_tokens=2)
    assert session.stats.num_compressions == before + 1
    assert session.stats.num_visual_tokens_kept <= 40
    assert session.stats.num_visual_tokens_over_budget == 0


def test_a_memory_over_its_budget_is_saved_and_restored(model):
    session = over_budget_at_the_next_frame(model, HermesPolicy.best(40))
    session.next_token_logits(QUESTION)
    assert session.stats.num_visual_tokens_over_budget == PATCH
    again = Session.restore(model, session.snapshot())
    for one in (session, again):
        one.observe(random_frames(4, start=9))
    assert is_same(session._stream, again._stream)
    assert again.stats.num_visual_tokens_kept <= 40


def test_a_policy_that_observes_the_chunk_puts_nothing_off(model):
    session = over_budget_at_the_next_frame(model, LiveVlmPolicy(budget_tokens=40))
    before = session.stats.num_compressions
    session.ask(QUESTION, max_new_tokens=2)
    assert session.stats.num_compressions == before + 1


@pytest.mark.parametrize("policy", PUT_OFF, ids=repr)
def test_memory_is_bounded_however_often_one_asks_behind_a_frame(model, policy):
    session = Session(model, policy, chunk_frames=4, text_tokens=96, defers_compression=True)
    slots = session.cache.buffers.capacities
    for k in range(30):
        session.observe(random_frames(1, seed=k, start=k))
        session.ask(QUESTION, max_new_tokens=2)
        stats = session.stats
        assert stats.num_visual_tokens_kept <= 40 + 4 * PATCH
        assert stats.num_visual_tokens_kept - stats.num_visual_tokens_over_budget <= 40
    assert session.cache.buffers.capacities == slots
    assert session.stats.num_compressions < 20


@pytest.mark.parametrize("policy", PUT_OFF, ids=repr)
def test_what_was_put_off_is_done_again_to_the_bit(model, policy):
    changes = []
    deferring = {"text_tokens": 96, "defers_compression": True}
    session, again = (Session(model, policy, chunk_frames=4, **deferring) for _ in range(2))
    session.record(changes.append)
    for k in range(24):
        session.observe(random_frames(1, seed=k, start=k))
        if k % 5 in (1, 2):
            session.ask(QUESTION, max_new_tokens=2).text  # noqa: B018 - to its end
    assert any(isinstance(one.what, MemoryCompressed) for one in changes)
    again.replay(changes)
    assert is_same(session._stream, again._stream)


def test_a_memory_is_full_where_budget_and_chunk_are():
    policy = SimpleNamespace(exceeds=lambda count, own, prefix: count > own + prefix)
    budget = MemoryBudget(policy=policy, layers=(10, 40), chunk_tokens=20, patch_tokens=15)

    def cache(*counts: int) -> SimpleNamespace:
        tokens = tuple(count + 2 for count in counts)
        slots = SimpleNamespace(capacities=(62, 62))
        return SimpleNamespace(
            num_visual_tokens=counts, num_prefix_tokens=2, num_tokens=tokens, buffers=slots
        )

    assert [budget.num_over(cache(*counts)) for counts in ((5, 30), (13, 41), (5, 45))] == [0, 3, 5]
    assert budget.fits(cache(60, 50), 0)
    assert not budget.fits(cache(50, 60), 1)
    # the first layer has room for a patch, whatever its budget, and for what is left of the chunk
    assert not budget.needs_compression(cache(30, 40), 5)
    assert budget.needs_compression(cache(31, 40), 5)
    patient = MemoryBudget(
        policy=SimpleNamespace(exceeds=lambda *_: False), layers=(10, 40), chunk_tokens=20, patch_tokens=15
    )
    assert not patient.needs_compression(cache(60, 60), 5)
