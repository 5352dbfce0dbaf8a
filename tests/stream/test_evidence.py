"""Evidence: what attention rests on, read without leaving a trace."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import plain_inputs, plain_model, random_frames

from hermes_stream import FullPolicy, HermesPolicy, Session, VideoError, load_model
from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES
from hermes_stream.stream import Evidence, PatchShare
from hermes_stream.stream.evidence import evidence_of
from hermes_stream.synthetic.world import generate_world

QUESTION = "what is on screen now?"
BOUNDED = [name for name in POLICIES if name != "full"]


def watched(model, policy) -> Session:
    session = Session(model, policy, chunk_frames=4, text_tokens=64)
    session.observe(random_frames(14))
    session.flush()
    return session


def planted(attention, frames, counts=None) -> MemoryState:
    """A memory in which attention is known; frame k is at 10 + 2k seconds."""
    frames = torch.tensor(frames)
    ids = torch.arange(frames.shape[1]).expand_as(frames)
    return MemoryState(
        num_prefix_tokens=3,
        token_ids=ids.masked_fill(frames < -1, -1),
        temporal_patch_ids=frames.clamp(min=-1),
        pts_seconds=10.0 + 2.0 * frames.clamp(min=0),
        counts=torch.ones_like(frames) if counts is None else torch.tensor(counts),
        attention=torch.tensor(attention),
    )


def test_one_frame_that_gets_all_attention_is_the_evidence():
    found = evidence_of(planted([[0, 0, 0.5, 0.3], [0, 0, 0, 0.2]], [[0, 1, 2, 2], [0, 1, 1, 2]]))
    assert [frame.share for frame in found.patches] == pytest.approx([0, 0, 1])
    (moment,) = found.moments()
    assert (moment.seconds, moment.from_seconds, moment.until_seconds) == (14, 14, 14)
    assert moment.share == pytest.approx(1)
    assert (found.summary_share, found.video_share) == pytest.approx((0, 0.5))


def test_words_go_with_their_frame_and_summaries_stand_apart():
    # The last column of the second layer is padding, the third of the first a summary.
    found = evidence_of(
        planted([[0.1, 0.2, 0.5], [0.1, 0.1, 0.9]], [[4, 4, -1], [4, 5, -2]], [[0, 1, 7], [0, 1, 0]])
    )
    assert [(frame.temporal_patch_id, frame.seconds) for frame in found.patches] == [(4, 18), (5, 20)]
    assert [frame.share for frame in found.patches] == pytest.approx([0.4, 0.1])
    assert [frame.token_share for frame in found.patches] == pytest.approx([0.6, 0.2])
    assert found.summary_share == pytest.approx(0.5)


def test_neighbouring_frames_are_one_moment():
    shares = {0: 0.05, 1: 0.2, 2: 0.3, 3: 0.0, 4: 0.15, 7: 0.3}
    found = Evidence(
        patches=tuple(
            PatchShare(temporal_patch_id=n, seconds=n / 2, share=share, token_share=0.1)
            for n, share in shares.items()
        ),
        summary_share=0.0,
        video_share=1.0,
    )
    moments = [(m.from_seconds, m.seconds, m.until_seconds, m.share) for m in found.moments()]
    assert moments == [(0.5, 1.0, 1.0, 0.5), (3.5, 3.5, 3.5, 0.3)]
    assert len(found.moments(1)) == 1


def test_attention_equals_that_of_plain_transformers(model, checkpoint_folder):
    frames = random_frames(6)
    session = Session(model, FullPolicy())
    session.observe(frames)
    state = session.read_attention(QUESTION)
    with torch.no_grad():
        plain = plain_model(checkpoint_folder, "eager")
        output = plain(**plain_inputs(model, frames, QUESTION), output_attentions=True)
    first, count = state.num_prefix_tokens, state.token_ids.shape[1]
    expected = torch.stack([layer[0, :, -1, first : first + count].mean(0) for layer in output.attentions])
    torch.testing.assert_close(state.attention, expected, rtol=1e-4, atol=1e-6)

    asked = len(session.model.chat.question_ids(QUESTION))
    every = session.read_attention(QUESTION, whole_question=True)
    own = slice(first, first + count)
    expected = torch.stack([layer[0, :, -asked:, own].mean((0, 1)) for layer in output.attentions])
    torch.testing.assert_close(every.attention, expected, rtol=1e-4, atol=1e-6)


def test_an_answer_is_the_mean_over_the_places_that_chose_it(model):
    session = watched(model, HermesPolicy.paper(40))
    answer = session.ask(QUESTION, max_new_tokens=3)
    assert list(answer)
    assert len(answer.token_ids) == 3
    one, whole = (
        session.read_attention(QUESTION, answer_ids=answer.token_ids[:n]).attention
        for n in (1, len(answer.token_ids))
    )
    torch.testing.assert_close(one, session.read_attention(QUESTION).attention, rtol=0, atol=0)
    assert len(answer.token_ids) == 3
    assert not torch.allclose(one, whole)
    assert (whole >= one / 3 - 1e-7).all()


@pytest.mark.parametrize("name", POLICIES)
def test_shares_sum_to_one_and_the_memory_is_as_before(model, name):
    policy = POLICIES[name](**({} if name == "full" else {"budget_tokens": 40}))
    session = watched(model, policy)
    session.next_token_logits(QUESTION)
    before, mark = [tensor.clone() for tensor in held(session)], session.cache.mark()
    found = session.evidence(QUESTION, answer_ids=(5, 6, 7))
    assert sum(frame.share for frame in found.patches) + found.summary_share == pytest.approx(1)
    assert 0 < found.video_share < 1
    assert session.cache.mark() == mark
    assert all(torch.equal(one, other) for one, other in zip(before, held(session), strict=True))


def held(session):
    cache = session.cache
    layers = range(cache.layout.num_layers)
    parts = [part(layer) for layer in layers for part in (cache.keys, cache.rotated_keys, cache.values)]
    state = cache.state()
    return [*parts, state.token_ids, state.temporal_patch_ids, state.pts_seconds, state.counts]


@pytest.mark.parametrize("name", ["rekv", "resv", "rekv_bounded"])
def test_retrieved_frames_have_their_own_times(model, name):
    session = watched(model, POLICIES[name](budget_tokens=40))
    found = session.evidence(QUESTION)
    assert all(frame.seconds == frame.temporal_patch_id for frame in found.patches)
    in_memory = session.cache.state().temporal_patch_ids
    if name != "rekv_bounded":
        assert {frame.temporal_patch_id for frame in found.patches} - set(in_memory.flatten().tolist())


def test_the_embedded_model_looks_where_the_answer_is():
    model, num_right, newest_shares = load_model("tiny"), 0, []
    for seed in range(10):
        world = generate_world(seed, 48)
        session = Session(model, FullPolicy())
        session.observe(world.frames(1))
        newest = session.evidence(QUESTION)
        newest_shares.append(sum(frame.share for frame in newest.patches if frame.seconds >= 45))
        first = world.appearances[0]
        top = session.evidence("what came first?").moments()[0]
        assert top.from_seconds <= first.leaves_seconds
        assert top.until_seconds >= first.enters_seconds
        num_right += first.enters_seconds <= top.seconds <= first.leaves_seconds
    assert num_right >= 9
    assert sum(newest_shares) > 5
    assert min(newest_shares) > 0.4


def test_what_cannot_be_read_is_refused(model):
    session = Session(model)
    with pytest.raises(VideoError, match="no frame was observed"):
        session.evidence(QUESTION)
    session.observe(random_frames(2))
    with pytest.raises(ValueError, match="exclude each other"):
        session.read_attention(QUESTION, answer_ids=(5,), whole_question=True)
    with pytest.raises(ValueError, match="attention is None"):
        evidence_of(session.cache.state())
    with pytest.raises(VideoError, match="no attention rests"):
        evidence_of(planted([[0.0]], [[0]]))
