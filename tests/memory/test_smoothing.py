from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.memory.ragged import padded, present_of, unpadded

from hermes_stream.memory.smoothing import Match, index_in_next_layer, pool, smooth

id_rows = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=7).map(sorted), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None)
@given(
    ids=id_rows,
    match=st.sampled_from(["identity", "index"]),
    recursive=st.booleans(),
    seed=st.integers(0, 9),
    extra=st.integers(0, 2),
)
def test_smooth(ids: list[list[int]], match: Match, recursive: bool, seed: int, extra: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = [torch.rand(len(row), generator=generator).tolist() for row in ids]
    strength = [0.1, 0.3, 0.4, 0.9][: len(ids)]
    result = smooth(
        padded(scores, 99.0, extra).float(),
        padded(ids, -1, extra).long(),
        torch.tensor(strength),
        match=match,
        recursive=recursive,
    )
    present = present_of(scores, extra)
    assert torch.all(result[~present] == 0)
    expected = oracles.smooth(scores, ids, strength, match, recursive)
    for ours, theirs in zip(unpadded(result, present), expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_index_in_next_layer() -> None:
    ids = torch.tensor([[3, 5, 8, -1], [2, 5, 8, 9]])
    by_identity, by_index = (index_in_next_layer(ids, match) for match in ("identity", "index"))
    assert torch.where(by_identity[1], by_identity[0], -1).tolist() == [[-1, 1, 2, -1]]
    assert torch.where(by_index[1], by_index[0], -1).tolist() == [[0, 1, 2, -1]]


def test_identity_and_index_agree_while_layers_hold_the_same_tokens() -> None:
    scores, ids = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)), torch.arange(6).expand(3, -1)
    strength = torch.tensor([0.1, 0.3, 0.4])
    assert torch.equal(
        smooth(scores, ids, strength, match="identity"), smooth(scores, ids, strength, match="index")
    )


def test_inputs_stay_as_they_were() -> None:
    scores = torch.ones(2, 3)
    smooth(scores, torch.arange(3).expand(2, -1), torch.tensor([0.5, 0.5]), recursive=True)
    assert torch.equal(scores, torch.ones(2, 3))


@settings(max_examples=60, deadline=None)
@given(ids=id_rows, seed=st.integers(0, 9), extra=st.integers(0, 2))
def test_pooled_scores_are_means_over_all_layers(ids: list[list[int]], seed: int, extra: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = [torch.rand(len(row), generator=generator).tolist() for row in ids]
    result = pool(padded(scores, 99.0, extra).float(), padded(ids, -1, extra).long())
    present = present_of(scores, extra)
    assert torch.all(result[~present] == 0)
    for row, found in zip(ids, unpadded(result, present), strict=True):
        for token, ours in zip(row, found, strict=True):
            held = [
                layer_scores[i.index(token)]
                for i, layer_scores in zip(ids, scores, strict=True)
                if token in i
            ]
            assert ours == pytest.approx(sum(held) / len(ids), abs=1e-6)


def test_layers_that_hold_the_same_tokens_need_no_search() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, ids = torch.rand(4, 9, generator=generator), torch.arange(9).expand(4, -1) * 3
    strength = torch.tensor([0.1, 0.3, 0.4, 0.9])
    assert torch.equal(smooth(scores, ids, strength, layers_alike=True), smooth(scores, ids, strength))
    torch.testing.assert_close(pool(scores, ids, layers_alike=True), pool(scores, ids))
