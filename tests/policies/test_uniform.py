from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies.states import kept_rows, make_state

from hermes_stream.memory.state import MemoryState
from hermes_stream.policies.uniform import UniformPolicy


def after(
    policy: UniformPolicy, num_frames: int, chunk_frames: int, tokens_per_temporal_patch: int
) -> list[int]:
    """Frames left after a stream, compressed chunk by chunk; each token must come with its whole frame."""
    held: list[int] = []
    for start in range(0, num_frames, chunk_frames):
        held += [
            frame
            for frame in range(start, min(start + chunk_frames, num_frames))
            for _ in range(tokens_per_temporal_patch)
        ]
        if len(held) > policy.budget_tokens:
            kept = kept_rows(policy.plan(state_of(held)))[0]
            held = [held[i] for i in kept]
    return held


def state_of(frames: list[int]) -> MemoryState:
    row = torch.tensor([frames])
    return MemoryState(
        num_prefix_tokens=0,
        token_ids=torch.arange(len(frames))[None],
        temporal_patch_ids=row,
        pts_seconds=row.double(),
        counts=torch.ones_like(row),
    )


def oracle(
    num_frames: int, chunk_frames: int, tokens_per_temporal_patch: int, budget_tokens: int
) -> list[int]:
    """The rule with a memory of its own stride: over budget, the stride doubles until frames fit."""
    held, stride = [], 1
    for start in range(0, num_frames, chunk_frames):
        held += range(start, min(start + chunk_frames, num_frames))
        while len(held) * tokens_per_temporal_patch > budget_tokens:
            on_stride = [frame for frame in held if frame % stride == 0]
            if len(on_stride) * tokens_per_temporal_patch <= budget_tokens:
                held = on_stride
                break
            stride *= 2
    return [frame for frame in held for _ in range(tokens_per_temporal_patch)]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 4), st.integers(4, 30))
def test_the_stride_doubles(num_frames, chunk_frames, tokens_per_temporal_patch, budget_tokens):
    found = after(
        UniformPolicy(budget_tokens=budget_tokens), num_frames, chunk_frames, tokens_per_temporal_patch
    )
    assert found == oracle(num_frames, chunk_frames, tokens_per_temporal_patch, budget_tokens)


def test_coverage_is_even_over_the_whole_stream():
    assert after(UniformPolicy(budget_tokens=8), 64, 1, 1) == list(range(0, 64, 8))
    assert after(UniformPolicy(budget_tokens=8), 65, 1, 1) == [0, 16, 32, 48, 64]


def test_a_frame_larger_than_the_budget_keeps_tokens_at_even_distances():
    assert kept_rows(UniformPolicy(budget_tokens=2).plan(make_state([9], tokens_per_temporal_patch=8))) == [
        [0, 4]
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20))
def test_even_distances_between_tokens(num_tokens, budget_tokens):
    policy = UniformPolicy(budget_tokens=budget_tokens, spacing="tokens")
    count = min(budget_tokens, num_tokens)
    expected = [i * num_tokens // count for i in range(count)]
    assert kept_rows(policy.plan(make_state([num_tokens]))) == [expected]


def test_a_spacing_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="spacing must be one of patches, tokens; got 'seconds'"):
        UniformPolicy(spacing="seconds")
