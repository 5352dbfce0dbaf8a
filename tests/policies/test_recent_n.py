"""No memory: what is seen of the newest frames is what a plain model sees, and that is paid for."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, plain_inputs, plain_model, random_frames
from tests.families import FAMILIES

from hermes_stream import CapacityError, Session, SnapshotError, load_model
from hermes_stream.policies.recent_n import RecentNPolicy
from hermes_stream.stream.held_frames import FrameBuffer

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
    session, undisturbed = (watched(model, 7, chunk_frames=4) for _ in range(2))
    forward, calls = type(model.decoder).forward, count()

    def broken_later(*args, **named):
        if next(calls):
            raise RuntimeError("out of memory")
        return forward(*args, **named)

    monkeypatch.setattr(type(model.decoder), "forward", broken_later)
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


def test_frames_are_held_again_where_there_is_room_for_them(model):
    buffer, same, less = (FrameBuffer(model, frames * TOKENS_PER_TEMPORAL_PATCH) for frames in (5, 5, 4))
    buffer.add(random_frames(8))
    saved = buffer.saved()
    same.restore(saved)
    assert [frame.pts_seconds for frame in same] == [3, 4, 5, 6, 7]
    assert same.num_frames == 8
    with pytest.raises(SnapshotError, match="frames take 45 tokens, and 36 are held"):
        less.restore(saved)
    with pytest.raises(SnapshotError, match="num_frames"):
        same.restore(replace(saved, values={"num_frames": 4}))


@pytest.mark.parametrize("is_enough", [False, True])
def test_the_newest_patch_is_held_however_much_it_takes(tmp_path, is_enough):
    model = load_model(FAMILIES["qwen2_5_vl"].save(tmp_path), device="cpu")
    tokens = model.num_tokens(*random_frames(1)[0].size)
    session = Session(model, RecentNPolicy(budget_tokens=tokens if is_enough else 1))
    session.observe(random_frames(5))
    session.ask(QUESTION, max_new_tokens=1).close()
    assert session.cache.state().pts_seconds[0].max() == 3  # of the first of its two frames
    assert session.stats.num_visual_tokens_kept == tokens
