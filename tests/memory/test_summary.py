from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles

from hermes_stream.memory.summary import merge_evicted, summary_in_place, summary_position


def random_layers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None)
@given(
    evicted=st.lists(st.booleans(), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 9),
)
def test_merge_evicted(evicted: list[bool], seed: int) -> None:
    raw_keys, values = random_layers(2, 3, len(evicted), 4, seed=seed)
    key, value = merge_evicted(raw_keys, values, torch.tensor(evicted))
    gone = [i for i, leaves in enumerate(evicted) if leaves]
    for head in range(3):
        for ours, rows in ((key, raw_keys), (value, values)):
            assert ours[head].tolist() == pytest.approx(
                oracles.mean_of(rows[head, gone].tolist(), [1.0] * len(gone)), abs=1e-5
            )


def test_layers_stacked_equal_layers_alone() -> None:
    raw_keys, values = random_layers(2, 3, 2, 5, 4)
    evicted = torch.tensor([[True, False, True, True, False], [True] * 5, [False] * 5])
    keys, merged = merge_evicted(raw_keys, values, evicted)
    for layer in range(3):
        key, value = merge_evicted(raw_keys[layer], values[layer], evicted[layer])
        torch.testing.assert_close(keys[layer], key)
        torch.testing.assert_close(merged[layer], value)
    assert keys[2].abs().sum() == 0


def test_mean_is_taken_in_float32() -> None:
    values = torch.full((1, 1000, 1), 1.0, dtype=torch.bfloat16)
    key, value = merge_evicted(values, values, torch.ones(1000, dtype=torch.bool))
    assert key.dtype == value.dtype == torch.bfloat16
    assert key.item() == 1.0


def test_summary_position_is_past_the_furthest_axis() -> None:
    positions = torch.tensor([[[0, 4, 4, 99], [0, 2, 7, 99]], [[0, 5, 6, 9], [0, 1, 1, 1]]])
    present = torch.tensor([[True, True, True, False], [True] * 4])
    assert summary_position(positions, present).tolist() == [8, 10]
    assert summary_position(positions[0], present[0]).item() == 8


def test_a_former_summary_keeps_its_share_and_text_has_none() -> None:
    counts = torch.tensor([[1, 0, 6, 1, 1, 1]])
    evicted = torch.tensor([[True, True, True, False, True, False]])
    merge = summary_in_place(evicted, counts, torch.tensor([True]))
    assert merge.slot_of_token.tolist() == [[0, -1, 0, -1, 0, -1]]
    torch.testing.assert_close(merge.weights, torch.tensor([[1, 0, 6, 0, 1, 0]]) / 8)
    assert merge.source_indices.tolist() == [[2]]
    nothing = summary_in_place(torch.zeros_like(evicted), counts, torch.tensor([True]))
    assert nothing.source_indices.tolist() == [[-1]]
