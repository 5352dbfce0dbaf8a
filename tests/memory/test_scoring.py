from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.memory.ragged import Rows, padded, present_of, scores, unpadded

from hermes_stream.memory.scoring import importance, minmax, recency, recency_of_lengths, weighted_recency

examples = settings(max_examples=40, deadline=None)


def assert_rows_close(tensor: torch.Tensor, present: torch.Tensor, expected: Rows) -> None:
    assert torch.all(tensor[~present] == 0)
    for ours, theirs in zip(unpadded(tensor, present), expected, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-6)


@examples
@given(scores(), st.integers(0, 2))
def test_minmax(rows: Rows, extra: int) -> None:
    present = present_of(rows, extra)
    result = minmax(padded(rows, 99.0, extra), present)
    assert_rows_close(result, present, [oracles.minmax(row) for row in rows])


def test_minmax_of_equal_tokens_is_zero() -> None:
    assert minmax(torch.tensor([[3.0, 3.0]]), torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0, 0]]


@examples
@given(scores(), st.integers(0, 2), st.sampled_from([0.0, 0.5, 20.0]))
def test_recency(rows: Rows, extra: int, decay: float) -> None:
    present = present_of(rows, extra)
    result = recency(present, torch.full((len(rows),), decay))
    assert_rows_close(result, present, [oracles.recency(len(row), decay) for row in rows])


def test_recency_of_newest_and_oldest() -> None:
    result = recency(torch.ones(1, 5, dtype=torch.bool), torch.tensor([2.0]))[0]
    assert result[-1] == 1
    assert result[0] == pytest.approx(torch.exp(torch.tensor(-2.0)).item())
    assert recency(torch.ones(1, 1, dtype=torch.bool), torch.tensor([2.0])).tolist() == [[1.0]]


@examples
@given(scores(), st.integers(0, 2), st.sampled_from([0.0, 0.3, 1.0]))
def test_importance(rows: Rows, extra: int, weight: float) -> None:
    present = present_of(rows, extra)
    decay, recency_weight = torch.full((len(rows),), 8.0), torch.full((len(rows),), weight)
    recent = weighted_recency(present, decay=decay, recency_weight=recency_weight)
    result = importance(padded(rows, 0.0, extra), present, recent, recency_weight)
    assert_rows_close(result, present, [oracles.importance(row, 8.0, weight) for row in rows])


def test_importance_is_float32_for_half_attention() -> None:
    attention = torch.tensor([[0.5, 0.25]], dtype=torch.bfloat16)
    result = importance(attention, None, torch.zeros(1, 2), torch.zeros(1))
    assert result.dtype == torch.float32


def test_no_tokens() -> None:
    nothing, present = torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)
    assert minmax(nothing, present).shape == (2, 0)
    assert recency(present, torch.ones(2)).shape == (2, 0)


def test_recency_of_lengths_is_that_of_layers_that_hold_so_many_tokens() -> None:
    lengths, decay, weight = (5, 3, 1), (2.0, 8.0, 0.0), (1.0, 0.3, 0.5)
    present = torch.arange(5) < torch.tensor(lengths)[:, None]
    expected = weighted_recency(present, decay=torch.tensor(decay), recency_weight=torch.tensor(weight))
    device = torch.device("cpu")
    found = recency_of_lengths(lengths, decay=decay, recency_weight=weight, device=device)
    assert torch.equal(found, expected)
    assert recency_of_lengths(lengths, decay=decay, recency_weight=weight, device=device) is found


def test_without_padding_nothing_is_masked() -> None:
    values = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(minmax(values, None), minmax(values, torch.ones(3, 7, dtype=torch.bool)))
