"""Every policy at work in a stream: bounded, repeatable, all or nothing, unmoved by questions."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames

from hermes_stream import POLICIES, Session
from hermes_stream.policies import MemoryPolicy

QUESTION = "what is on screen now?"
BUDGET = 5 * TOKENS_PER_TEMPORAL_PATCH
names = pytest.mark.parametrize("name", POLICIES)


def policy_of(name: str) -> MemoryPolicy:
    make = POLICIES[name]
    is_bounded = make().with_default_budget(1).budget_tokens is not None
    return make(budget_tokens=BUDGET) if is_bounded else make()


def stream(model, name: str) -> Session:
    return Session(model, policy_of(name), chunk_frames=4, text_tokens=64)


def everything(session: Session) -> list[torch.Tensor]:
    cache = session.cache
    state = cache.state()
    parts = [
        part(layer).clone()
        for layer in range(cache.layout.num_layers)
        for part in (cache.keys, cache.values, cache.rotated_keys, cache.positions)
    ]
    return [*parts, state.token_ids, state.temporal_patch_ids, state.pts_seconds, state.counts]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@names
def test_the_budget_holds_and_the_cache_does_not_grow(model, name):
    session = stream(model, name)
    before = session.cache.num_bytes
    for frame in random_frames(30):
        session.observe(frame)
        if name != "full" and session.stats.num_pending_frames == 0:
            assert max(session.cache.num_visual_tokens) <= BUDGET
    if name != "full":
        assert session.cache.num_bytes == before
        state = session.cache.state()
        assert all((row[row >= 0].diff() > 0).all() for row in state.token_ids)
    assert session.next_token_logits(QUESTION).isfinite().all()


@names
def test_the_same_stream_makes_the_same_memory_and_questions_leave_it(model, name):
    frames = random_frames(14)
    one, other = stream(model, name), stream(model, name)
    one.observe(frames)
    other.observe(frames)
    one.flush()
    other.flush()
    assert same(everything(one), everything(other))
    logits = other.next_token_logits(QUESTION)
    before = everything(other)
    answer = other.ask(QUESTION, max_new_tokens=3)
    assert answer.text == other.ask(QUESTION, max_new_tokens=3).text
    next(iter(other.ask(QUESTION, max_new_tokens=3)), None)
    assert torch.equal(logits, other.next_token_logits(QUESTION))
    assert same(before, everything(other))


@names
@pytest.mark.parametrize("part", ["encode", "plan", "forward"])
def test_a_chunk_that_fails_changes_nothing(model, monkeypatch, name, part):
    frames = random_frames(16)
    undisturbed, session = stream(model, name), stream(model, name)
    undisturbed.observe(frames)
    session.observe(frames[:11])
    before = everything(session)
    targets = {
        "encode": (type(model), "encode"),
        "plan": (type(session.policy), "plan"),
        "forward": (type(model.decoder), "forward"),
    }

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(*targets[part], broken)
    if session.policy.rebuilds_at_question or (name, part) == ("full", "plan"):
        session.observe(frames[11:12])  # it holds frames, or never plans: nothing can fail
    else:
        with pytest.raises(RuntimeError, match="out of memory"):
            session.observe(frames[11:12])
        assert session.stats.num_pending_frames == 4
        assert same(before, everything(session))
    monkeypatch.undo()
    session.observe(frames[12:])
    undisturbed.flush()
    session.flush()
    assert same(everything(undisturbed), everything(session))


@names
def test_nothing_but_the_question_is_computed_where_the_facts_say_so(model, name):
    session = stream(model, name)
    session.observe(random_frames(14))
    session.flush()
    lengths: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _, __, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        session.ask(QUESTION, max_new_tokens=5).close()
    finally:
        hook.remove()
    policy = session.policy
    question = 1 + len(model.chat.question_ids(QUESTION))
    assert lengths[-1] == question
    assert (len(lengths) > 1) == policy.rebuilds_at_question
    adds = policy.rebuilds_at_question or policy.retrieval() is not None
    assert adds == (policy.facts.at_question != "nothing")
