from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_stream.retrieval.groups import (
    Groups,
    best_groups,
    hash_groups,
    hash_signs,
    heaviest_groups,
    patch_groups,
)

BITS = 6
examples = settings(max_examples=60, deadline=None)


def signs_of(rows: int, count: int, seed: int) -> torch.Tensor:
    return torch.rand(rows, count, BITS, generator=torch.Generator().manual_seed(seed)) > 0.5


def sequential(row: list[list[bool]], founders: list[list[bool]], max_bits: int) -> list[int]:
    """One token after the other; ``founders`` grows."""
    joined = []
    for own in row:
        distances = [sum(a != b for a, b in zip(own, other, strict=True)) for other in founders]
        if not distances or min(distances) > max_bits:
            founders.append(own)
            joined.append(len(founders) - 1)
        else:
            joined.append(distances.index(min(distances)))
    return joined


@examples
@given(
    st.integers(1, 3),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_tokens_join_or_found_one_after_the_other(rows, chunks, max_bits, seed):
    groups = Groups.none(rows, 4, BITS, torch.device("cpu"))
    founders: list[list[list[bool]]] = [[] for _ in range(rows)]
    names: list[dict[int, int]] = [{} for _ in range(rows)]  # rows are filled up, so numbers may have gaps
    for turn, count in enumerate(chunks):
        signs = signs_of(rows, count, seed + turn)
        joined, every = hash_groups(signs, groups, max_bits)
        groups = groups.joined_by(torch.ones(rows, count, 4), joined, every)
        for row in range(rows):
            expected = sequential(signs[row].tolist(), founders[row], max_bits)
            for mine, name in zip(joined[row].tolist(), expected, strict=True):
                assert names[row].setdefault(mine, name) == name
    for row in range(rows):
        assert len(names[row]) == len(founders[row]) == int((groups.counts[row] > 0).sum())
        for mine, name in names[row].items():
            assert groups.signs[row, mine].tolist() == founders[row][name]


def test_like_keys_agree_in_max_bits():
    keys = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(1))
    signs = hash_signs(torch.cat([keys, keys * 3, -keys], dim=1), 32, seed=0)
    assert torch.equal(signs[:, 0], signs[:, 1])
    assert torch.equal(signs[:, 0], ~signs[:, 2])


def test_frames_are_groups():
    assert patch_groups(torch.tensor([4, 4, 5, 7, 7]), 3).tolist() == [[3, 3, 4, 5, 5]]
    assert patch_groups(torch.tensor([], dtype=torch.long), 3).shape == (1, 0)


@examples
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_means_follow_who_comes_and_who_leaves(places, data):
    keys = torch.randn(1, len(places), 3, generator=torch.Generator().manual_seed(len(places)))
    groups = Groups.none(1, 3, 0, torch.device("cpu")).joined_by(keys, torch.tensor([places]))
    stays = torch.tensor([data.draw(st.booleans()) for _ in places])
    left = groups.left_by(keys[:, ~stays], torch.tensor([places])[:, ~stays])
    packed, renamed = left.packed(torch.tensor([places])[:, stays])
    assert packed.counts.sum() == stays.sum()
    for token, place in zip(stays.nonzero()[:, 0].tolist(), renamed[0].tolist(), strict=True):
        members = [i for i in stays.nonzero()[:, 0].tolist() if places[i] == places[token]]
        assert packed.counts[0, place] == len(members)
        torch.testing.assert_close(packed.means[0, place], keys[0, members].mean(dim=0), rtol=1e-4, atol=1e-5)
    assert packed.counts.shape[1] == len({places[i] for i in stays.nonzero()[:, 0].tolist()})


@examples
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 9), st.data())
def test_best_groups(counts, most, data):
    scores = [data.draw(st.integers(0, 3)) / 4 for _ in counts]
    found = best_groups(torch.tensor([scores]), torch.tensor([counts]), most)[0].tolist()
    there = [i for i, count in enumerate(counts) if count]
    best = sorted(there, key=lambda i: (-scores[i], i))[:most]
    assert [i for i, score in enumerate(found) if score > -math.inf] == sorted(best)


@examples
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8), st.sampled_from([0.3, 0.8, 1.0]), st.integers(0, 99)
)
def test_heaviest_groups(counts, share, seed):
    if not any(counts):
        return
    scores = torch.randn(2, len(counts), generator=torch.Generator().manual_seed(seed))
    weights = []
    for i, count in enumerate(counts):
        parts = []
        for query in scores.tolist():
            total = sum(n * math.exp(score) for n, score in zip(counts, query, strict=True))
            parts.append(count * math.exp(query[i]) / total)
        weights.append(sum(parts) / len(parts))
    expected, held = [], 0.0
    for i in sorted(range(len(counts)), key=lambda i: -weights[i]):
        if held < share - 1e-6 and counts[i]:
            expected.append(i)
        held += weights[i]
    found = heaviest_groups(scores[None], torch.tensor([counts]), share)[0]
    chosen = (found > -math.inf).nonzero()[:, 0].tolist()
    assert set(chosen) >= set(expected)
    assert share == 1 or set(chosen) == set(expected)
    for i in chosen:
        assert float(found[i]) == pytest.approx(weights[i], rel=1e-4)


def test_a_group_that_would_go_beyond_the_share_is_left_out():
    found = heaviest_groups(torch.zeros(1, 1, 2), torch.ones(1, 2, dtype=torch.long), 0.5)
    assert found.tolist() == [[0.5, -math.inf]]
