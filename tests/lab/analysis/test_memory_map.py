"""The map equals a plain loop over the cache's state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames

from hermes_lab.analysis.memory_map import map_of, memory_map
from hermes_lab.analysis.thumbnails import Thumbnails, shrunk
from hermes_stream import Frame, Session
from hermes_stream.memory.state import MemoryState
from hermes_stream.policies import POLICIES


@pytest.mark.parametrize("name", ["hermes_paper", "full", "window", "streammem", "rekv"])
def test_the_map_equals_a_plain_loop(model, name):
    policy = POLICIES[name](**({} if name == "full" else {"budget_tokens": 40}))
    session = Session(model, policy, chunk_frames=4, text_tokens=64)
    session.observe(random_frames(14, fps=2.0, start=3.0))
    session.flush()
    found, state = memory_map(session), session.cache.state()
    frames = sorted({n for row in state.temporal_patch_ids.tolist() for n in row if n >= 0})
    assert list(found.temporal_patch_ids) == frames
    assert found.seconds == tuple(3.0 + n / 2 for n in frames)
    for layer, held in enumerate(found.layers):
        expected, summaries, summarized = dict.fromkeys(frames, 0), 0, 0
        for token, frame, count in zip(
            *(part[layer].tolist() for part in (state.token_ids, state.temporal_patch_ids, state.counts)),
            strict=True,
        ):
            if token >= 0 and frame >= 0:
                expected[frame] += 1
            elif token >= 0:
                summaries, summarized = summaries + 1, summarized + count
        assert held.layer_idx == layer
        assert held.num_tokens == tuple(expected.values())
        assert (held.num_summaries, held.num_summarized_tokens) == (summaries, summarized)
    tiers = [held.tier for held in found.layers]
    assert tiers == (
        ["sensory"] + ["working"] * 6 + ["long_term"] * 3 if name == "hermes_paper" else [None] * 10
    )
    assert any(held.num_summaries for held in found.layers) == (name == "hermes_paper")


def test_text_tokens_are_counted_apart():
    frames = torch.tensor([[2, 2, 2, 5, -1], [2, 5, 5, -1, -1]])
    state = MemoryState(
        num_prefix_tokens=0,
        token_ids=torch.tensor([[0, 1, 2, 3, 9], [0, 3, 4, -1, -1]]),
        temporal_patch_ids=frames,
        pts_seconds=frames.double(),
        counts=torch.tensor([[0, 1, 1, 3, 8], [0, 1, 1, 0, 0]]),
    )
    found = map_of(state)
    assert (found.temporal_patch_ids, found.seconds) == ((2, 5), (2.0, 5.0))
    assert [(one.num_tokens, one.num_text_tokens) for one in found.layers] == [
        ((2, 1), (1, 0)),
        ((0, 2), (1, 0)),
    ]
    assert [(one.num_summaries, one.num_summarized_tokens) for one in found.layers] == [(1, 8), (0, 0)]


def test_an_empty_memory_is_an_empty_map(model):
    found = memory_map(Session(model))
    assert found.temporal_patch_ids == ()
    assert all(held.num_tokens == () and held.num_summaries == 0 for held in found.layers)


def test_thumbnails_are_bounded_and_spread():
    pictures = Thumbnails(max_frames=8, pixels=10)
    for k in range(100):
        pictures.add(Frame(pts_seconds=float(k), image=np.full((31, 20, 3), k, dtype=np.uint8)))
        assert len(pictures) <= 8
    near = [pictures.of(seconds, seconds) for seconds in (0, 30, 61, 1000)]
    assert all((frame.image == frame.pts_seconds).all() for frame in near)
    assert [frame.pts_seconds for frame in near] == [0, 32, 64, 96]
    assert max(near[0].image.shape) <= 10
    assert Thumbnails().of(3, 4) is None


def test_a_thumbnail_shows_what_was_on_screen_for_a_moment():
    pictures = Thumbnails()
    for k in range(20):
        image = np.zeros((8, 8, 3), dtype=np.uint8)
        image[2:4, 2:4] = 200 if k in (6, 13) else 0
        pictures.add(Frame(pts_seconds=float(k), image=image))
    assert [pictures.of(start, start + 5.0).pts_seconds for start in (0.0, 5.0, 10.0)] == [0, 6, 13]


def test_an_image_shrinks_to_means():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[:2, :2] = 100
    small = shrunk(image, 3)
    assert small.shape == (2, 3, 3)
    assert small[0, 0].tolist() == [100] * 3
    assert small.sum() == 300
    assert shrunk(image, 6).shape == image.shape
