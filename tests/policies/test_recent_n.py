"""No memory: what is seen of the newest frames is what a plain model sees, and that is paid for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, plain_inputs, plain_model, random_frames

from hermes_stream import CapacityError, Session
from hermes_stream.policies.recent_n import RecentNPolicy

QUESTION = "what is on screen now?"


def watched(model, num_frames: int, budget_frames: int = 5, **options) -> Session:
    session = Session(
        model, RecentNPolicy(budget_tokens=budget_frames * TOKENS_PER_TEMPORAL_PATCH + 3), **options
    )
    session.observe(random_frames(num_frames))
    return session


@pytest.mark.parametrize("chunk_frames", [1, 3, 16])
@pytest.mark.parametrize("num_frames", [3, 5, 14])
def test_it_sees_what_a_plain_model_sees_of_the_newest_frames(
    model, checkpoint_folder, num_frames, chunk_frames
):
    session = watched(model, num_frames, chunk_frames=chunk_frames)
    newest = random_frames(num_frames)[-5:]
    with torch.no_grad():
        plain = plain_model(checkpoint_folder)(**plain_inputs(model, newest, QUESTION)).logits[0, -1]
    torch.testing.assert_close(session.next_token_logits(QUESTION), plain, rtol=1e-4, atol=1e-4)
    state = session.cache.state()
    assert state.temporal_patch_ids[0].unique().tolist() == list(range(num_frames))[-5:]
    assert state.pts_seconds[0].max() == num_frames - 1


def test_watching_computes_nothing_and_a_question_pays_once(model):
    lengths: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _, __, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        session = watched(model, 14, chunk_frames=4)
        session.flush()
        assert lengths == [len(model.chat.prefix_ids)]
        question = 1 + len(model.chat.question_ids(QUESTION))
        session.ask(QUESTION).close()
        assert lengths[1:] == [36, 9, question]
        first = session.stats
        session.ask(QUESTION).close()
        assert lengths[4:] == [question]
        session.observe(random_frames(4, start=14))
        assert session.stats.num_visual_tokens_kept == 45
        session.ask(QUESTION).close()
        assert lengths[5:] == [36, 9, question]
    finally:
        hook.remove()
    assert 0 < first.recall_seconds < first.ttft_seconds
    assert first.host_bytes == sum(frame.image.nbytes for frame in random_frames(5))


def test_a_recall_that_fails_leaves_the_stream_usable(model, monkeypatch):
    session, undisturbed = watched(model, 7), watched(model, 7)

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(model.decoder), "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.ask(QUESTION)
    monkeypatch.undo()
    assert max(session.cache.num_visual_tokens) == 0
    assert torch.equal(session.next_token_logits(QUESTION), undisturbed.next_token_logits(QUESTION))


def test_a_budget_below_one_frame_is_refused(model):
    with pytest.raises(CapacityError, match=r"8 tokens holds no whole frame of 9"):
        Session(model, RecentNPolicy(budget_tokens=8))


def test_frames_that_are_prefilled_again_are_counted_once(model):
    session = watched(model, 0, chunk_frames=1, filter="dedup", still_below=2.0)
    for k in range(12):
        session.observe(replace(random_frames(1)[0], pts_seconds=float(k)))
        session.ask(QUESTION).close()
    stats = session.stats
    assert (stats.num_frames, stats.num_still_frames) == (12, 5)
    assert stats.num_visual_tokens_dropped == 4 * TOKENS_PER_TEMPORAL_PATCH
