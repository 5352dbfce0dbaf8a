from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memory.ragged import padded

from hermes_stream.memory.novelty import novelty, previous_at_grid_index

grid_rows = st.lists(st.lists(st.integers(-1, 3), max_size=8), min_size=1, max_size=3)


def last_before(grid: list[int], index: int) -> int:
    same = [i for i in range(index) if grid[i] == grid[index]]
    return same[-1] if same and grid[index] >= 0 else -1


@settings(max_examples=60, deadline=None)
@given(rows=grid_rows, seed=st.integers(0, 9), extra=st.integers(0, 2))
def test_novelty(rows: list[list[int]], seed: int, extra: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = [torch.randn(2, len(row), 3, generator=generator) for row in rows]
    grid = padded(rows, -1, extra).long()
    previous, result = previous_at_grid_index(grid), novelty(keys, grid)
    for layer, row in enumerate(rows):
        flat = keys[layer].transpose(0, 1).flatten(1).tolist()
        for i in range(len(row)):
            before = last_before(row, i)
            assert previous[layer, i] == before
            expected = 1.0
            if before >= 0:
                dot = sum(a * b for a, b in zip(flat[i], flat[before], strict=True))
                expected = 1 - dot / math.hypot(*flat[i]) / math.hypot(*flat[before])
            assert float(result[layer, i]) == pytest.approx(min(max(expected, 0), 1), abs=1e-5)


def test_a_repeated_picture_is_nothing_new() -> None:
    frame = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    grid = torch.arange(4).repeat(3)[None]
    found = novelty([frame.repeat(1, 3, 1)], grid)
    torch.testing.assert_close(found[0, :4], torch.ones(4))
    torch.testing.assert_close(found[0, 4:], torch.zeros(8), atol=1e-6, rtol=0)
