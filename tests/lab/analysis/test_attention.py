"""Measures of attention on planted attention, where the answer is known."""

from __future__ import annotations

import pytest
import torch
from tests.checkpoints import random_frames

from hermes_lab.analysis.attention import periodicity, recency_index, study_attention, study_of
from hermes_stream import FullPolicy, HermesPolicy, Session
from hermes_stream.memory.state import MemoryState


def planted(attention, *, tokens_per_temporal_patch, text_tokens_per_patch=0) -> MemoryState:
    """Frames two seconds apart; the text tokens of a temporal patch come first."""
    attention = torch.tensor(attention)
    each = tokens_per_temporal_patch + text_tokens_per_patch
    index = torch.arange(attention.shape[1])
    rows = len(attention)
    return MemoryState(
        num_prefix_tokens=0,
        token_ids=index.expand(rows, -1),
        temporal_patch_ids=(index // each).expand(rows, -1),
        pts_seconds=(index // each * 2.0).expand(rows, -1),
        counts=(index % each >= text_tokens_per_patch).long().expand(rows, -1),
        attention=attention,
    )


def test_recency_index():
    newest, oldest, even = [0.0, 0, 0, 0, 1], [1.0, 0, 0, 0, 0], [0.2] * 5
    assert recency_index(torch.tensor([newest, oldest, even])).tolist() == pytest.approx([1, 0, 0.5])
    assert recency_index(torch.tensor([[1.0]])).tolist() == [0]


def test_attention_by_age():
    # Three frames of two tokens, in two buckets: the newest two frames, and the oldest.
    state = planted([[0.0, 0, 0, 0, 0.1, 0.3], [0.1, 0.1, 0.05, 0.05, 0, 0.1]], tokens_per_temporal_patch=2)
    found = study_of([state], questions=["?"], num_buckets=2)
    assert [(b.from_seconds, b.until_seconds) for b in found.buckets] == [(0, 2), (4, 4)]
    assert [b.token_share for b in found.buckets] == pytest.approx([2 / 3, 1 / 3])
    assert found.layers[0].attention_by_age == pytest.approx((1, 0))
    assert found.layers[1].attention_by_age == pytest.approx((0.5, 0.5))
    assert [layer.video_share for layer in found.layers] == pytest.approx([0.4, 0.4])
    assert found.layers[0].recency_index == pytest.approx((0.25 * 4 + 0.75 * 5) / 5)
    assert (found.num_temporal_patches, found.tokens_per_temporal_patch) == (3, 2)


def test_each_question_counts_the_same():
    one = planted([[0.9, 0.0]], tokens_per_temporal_patch=1)
    other = planted([[0.0, 0.1]], tokens_per_temporal_patch=1)
    found = study_of([one, other], questions=["a", "b"])
    assert found.layers[0].attention_by_age == pytest.approx((0.5, 0.5))
    assert found.layers[0].video_share == pytest.approx(0.5)


@pytest.mark.parametrize("words", [0, 3])
def test_anchor_tokens_are_periodic_and_bright_frames_are_not(words):
    each, num_frames = 6, 24
    anchors = [[0.0] * words + [1.0, 0, 0, 0, 0, 0]] * num_frames
    frames = [[0.0] * words + [float(k % 3 == 0)] * each for k in range(num_frames)]
    rows = [[x for frame in row for x in frame] for row in (anchors, frames)]
    found = study_of(
        [planted(rows, tokens_per_temporal_patch=each, text_tokens_per_patch=words)], questions=["?"]
    )
    assert found.tokens_per_temporal_patch == each
    assert found.layers[0].periodicity > 0.8
    assert found.layers[1].periodicity < 0.1
    assert len(found.layers[0].autocorrelation) == 3 * each + each // 2
    # Against the definition, in a plain loop.
    row = [x - 1 / 6 for x in [1.0, 0, 0, 0, 0, 0] * num_frames]
    expected = sum(row[i] * row[i + 6] for i in range(len(row) - 6)) / sum(x * x for x in row)
    assert found.layers[0].autocorrelation[5] == pytest.approx(expected)


def test_what_rests_for_a_moment_is_no_anchor():
    thing = [0.0] * 9 * 20
    for k, place in enumerate([2, 2, 7, 7, 4, 4, 0, 0, 5, 5, 1, 1, 8, 8, 3, 3, 6, 6, 2, 2]):
        thing[9 * k + place] = 1.0
    (layer,) = study_of([planted([thing], tokens_per_temporal_patch=9)], questions=["?"]).layers
    assert layer.autocorrelation[8] > 0.3
    assert layer.periodicity < 0.1


def test_frames_of_another_size_are_left_out_of_the_period():
    state = planted([[1.0, 0, 0] * 24], tokens_per_temporal_patch=3)
    frames = state.temporal_patch_ids.clone()
    frames[0, 11] = 4  # frame 3 has two tokens now, frame 4 has four
    odd = MemoryState(
        **{name: getattr(state, name) for name in state.__slots__ if name != "temporal_patch_ids"},
        temporal_patch_ids=frames,
    )
    found = study_of([odd], questions=["?"])
    assert found.tokens_per_temporal_patch == 3
    assert found.layers[0].periodicity > 0.8


def test_a_short_stream_has_no_period():
    found = study_of([planted([[1.0, 0] * 3], tokens_per_temporal_patch=2)], questions=["?"])
    assert found.layers[0].periodicity is None
    assert found.layers[0].autocorrelation == ()
    assert periodicity([0.1, 0.2, 0.3], 1) is None
    assert periodicity([], 4) is None


def test_a_session_that_forgets_is_refused(model):
    with pytest.raises(ValueError, match="FullPolicy"):
        study_attention(Session(model, HermesPolicy.paper(40)), ["?"])
    with pytest.raises(ValueError, match="at least one"):
        study_attention(Session(model, FullPolicy()), [])


def test_a_session_is_studied(model):
    session = Session(model, FullPolicy(), chunk_frames=4)
    session.observe(random_frames(10))
    found = study_attention(session, ["what came first?", "what is there now?"], num_buckets=5)
    assert (found.num_temporal_patches, found.tokens_per_temporal_patch, len(found.layers)) == (10, 9, 10)
    assert [bucket.from_seconds for bucket in found.buckets] == [0, 2, 4, 6, 8]
    for layer in found.layers:
        assert sum(layer.attention_by_age) == pytest.approx(1)
        assert 0 <= layer.recency_index <= 1
        assert 0 < layer.video_share < 1
