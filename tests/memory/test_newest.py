from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hermes_stream.memory.newest import newest_slots
from hermes_stream.memory.state import MemoryState

NUM_PREFIX_TOKENS = 2
ages = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@given(
    layers=st.lists(ages, min_size=1, max_size=3), reach=st.lists(st.none() | st.floats(0.5, 12), min_size=1)
)
def test_newest_slots(layers: list[list[int]], reach: list[float | None]) -> None:
    width = max(map(len, layers))
    present = torch.tensor([[slot < len(row) for slot in range(width)] for row in layers])
    seconds = torch.tensor([[100.0 - age for age in row] + [0.0] * (width - len(row)) for row in layers])
    ids = torch.where(present, 1, -1)
    state = MemoryState(
        num_prefix_tokens=NUM_PREFIX_TOKENS,
        token_ids=ids,
        temporal_patch_ids=ids,
        pts_seconds=seconds.double(),
        counts=present.long(),
    )
    newest = min(age for row in layers for age in row)
    expected = [
        [
            [True] * NUM_PREFIX_TOKENS
            + [far is None or age - newest < far for age in row]
            + [False] * (width - len(row))
            for far in reach
        ]
        for row in layers
    ]
    assert newest_slots(state, reach).tolist() == expected
