from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from tests.memory.ragged import Rows, padded, present_of
from tests.memory.ragged import scores as score_rows

from hermes_stream.memory.selection import (
    evenly_spaced,
    evicted_mask,
    indices_of,
    layer_budgets,
    rank_within,
    select,
    select_tokens,
    whole_groups,
)

examples = settings(max_examples=80, deadline=None)


@examples
@given(rows=score_rows(), data=st.data(), extra=st.integers(0, 2))
def test_select(rows: Rows, data: st.DataObject, extra: int) -> None:
    budgets = [data.draw(st.integers(0, 9)) for _ in rows]
    preferred = [[data.draw(st.booleans()) for _ in row] for row in rows]
    kept = select(
        padded(rows, 99.0, extra).float(),
        present_of(rows, extra),
        torch.tensor(budgets),
        preferred=padded(preferred, True, extra).bool(),
    )
    expected = [oracles.select(*layer) for layer in zip(rows, budgets, preferred, strict=True)]
    assert [row.nonzero()[:, 0].tolist() for row in kept] == expected


def select_plain(scores: list[float], budget: int, preferred: list[bool] | None = None) -> list[int]:
    row = torch.tensor([scores])
    mask = None if preferred is None else torch.tensor([preferred])
    present = torch.ones_like(row, dtype=torch.bool)
    return select(row, present, torch.tensor([budget]), preferred=mask)[0].nonzero()[:, 0].tolist()


def test_ties_go_to_the_lower_index() -> None:
    assert select_plain([1.0, 2.0, 2.0, 2.0, 0.0], 2) == [1, 2]
    assert select_plain([0.0] * 40, 7) == list(range(7))


def test_a_budget_of_the_whole_length_keeps_all() -> None:
    assert select_plain([3.0, 1.0, 2.0], 3) == select_plain([3.0, 1.0, 2.0], 9) == [0, 1, 2]


def test_preferred_tokens_stay_first_within_the_budget() -> None:
    assert select_plain([0.0, 9.0, 0.0, 5.0], 2, [True, False, True, False]) == [0, 2]
    assert select_plain([0.0, 9.0, 0.0, 5.0], 3, [True, False, True, False]) == [0, 1, 2]
    assert select_plain([0.0, 9.0, 1.0, 5.0], 1, [True, False, True, False]) == [2]


def test_a_huge_score_does_not_beat_preference() -> None:
    assert select_plain([float("inf"), -float("inf")], 1, [False, True]) == [1]


def test_no_tokens() -> None:
    nothing = torch.zeros(2, 0, dtype=torch.bool)
    assert select(torch.zeros(2, 0), nothing, torch.tensor([3, 3]), preferred=nothing).shape == (2, 0)
    assert indices_of(nothing).shape == (2, 0)
    assert whole_groups(nothing, torch.zeros(2, 0), 3).shape == evenly_spaced(nothing, 3).shape == (2, 0)
    assert rank_within(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 0)).shape == (2, 0)


@examples
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(20, 300))
def test_layer_budgets(weights: list[int], budget_tokens: int) -> None:
    budgets = layer_budgets([float(weight) for weight in weights], budget_tokens)
    assert list(budgets) == oracles.layer_budgets(weights, budget_tokens)


@examples
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(1, 50))
def test_layer_budgets_sum_up_and_leave_no_layer_empty(weights: list[float], budget_tokens: int) -> None:
    budgets = layer_budgets(weights, budget_tokens)
    assert sum(budgets) == len(weights) * budget_tokens
    assert min(budgets) >= 1


def test_layer_budgets_of_equal_weights_are_equal() -> None:
    assert layer_budgets([0.3] * 28, 4000) == (4000,) * 28
    assert layer_budgets([0.1] * 3, 1) == (1, 1, 1)


def test_layer_budgets_of_the_deep_heavy_setting() -> None:
    budgets = layer_budgets([0.7] + [1.0] * 6 + [1.3] * 3, 100)
    assert budgets == (66, 95, *(94,) * 5, *(123,) * 3)


@examples
@given(st.lists(st.lists(st.booleans(), max_size=8), min_size=1, max_size=4))
def test_indices_of(rows: list[list[bool]]) -> None:
    expected = [[i for i, is_kept in enumerate(row) if is_kept] for row in rows]
    width = max(map(len, expected))
    found = indices_of(padded(rows, False, 1).bool())
    assert found.tolist() == [row + [-1] * (width - len(row)) for row in expected]


@examples
@given(score_rows(), st.data())
def test_evicted_mask_is_the_rest(rows: Rows, data: st.DataObject) -> None:
    present = present_of(rows, 1)
    kept = padded([[data.draw(st.booleans()) for _ in row] for row in rows], False, 1).bool()
    assert torch.equal(evicted_mask(indices_of(kept), present), present & ~kept)


def test_evicted_mask_of_one_layer() -> None:
    present = torch.tensor([True, True, True, False])
    assert evicted_mask(torch.tensor([1, -1]), present).tolist() == [True, False, True, False]


def test_select_tokens_gathers_per_layer() -> None:
    keys = torch.arange(2 * 3 * 4 * 2.0).reshape(2, 3, 4, 2)
    selected = select_tokens(keys, torch.tensor([[0, 3], [2, -1]]))
    assert torch.equal(selected[0], keys[0][:, [0, 3]])
    assert torch.equal(selected[1, :, 0], keys[1, :, 2])
    assert torch.equal(select_tokens(keys[0], torch.tensor([1])), keys[0][:, [1]])


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_one_token(budget: int) -> None:
    assert select_plain([0.5], budget) == ([0] if budget else [])


@examples
@given(score_rows(), st.data())
def test_whole_groups(rows: Rows, data: st.DataObject) -> None:
    room = [data.draw(st.integers(-1, 9)) for _ in rows]
    chosen = [[data.draw(st.booleans()) for _ in row] for row in rows]
    candidates = padded(chosen, False, 1).bool()
    selected = whole_groups(candidates, padded(rows, 9.0, 1).float(), torch.tensor(room)[:, None])
    for layer, row in enumerate(rows):
        expected: list[int] = []
        for key in sorted(set(row)):
            group = [i for i, own in enumerate(row) if own == key and chosen[layer][i]]
            if len(expected) + len(group) > room[layer]:
                if not expected:
                    expected = group[len(group) - max(room[layer], 0) :]
                break
            expected += group
        assert selected[layer].nonzero()[:, 0].tolist() == sorted(expected)


def test_a_group_that_does_not_fit_is_left_out_whole() -> None:
    keys = torch.tensor([[1, 1, 0, 0, 1, 2]])
    everything = torch.ones(1, 6, dtype=torch.bool)
    for room, expected in ((1, [3]), (2, [2, 3]), (4, [2, 3]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4, 5])):
        assert whole_groups(everything, keys, room)[0].nonzero()[:, 0].tolist() == expected


@examples
@given(score_rows(), st.data())
def test_rank_within(rows: Rows, data: st.DataObject) -> None:
    groups = [[data.draw(st.integers(0, 2)) for _ in row] for row in rows]
    found = rank_within(padded(groups, -1, 1).long(), padded(rows, 0.0, 1).float())
    for layer, row in enumerate(rows):
        for i, group in enumerate(groups[layer]):
            before = [j for j, own in enumerate(row) if groups[layer][j] == group and (own, j) < (row[i], i)]
            assert int(found[layer, i]) == len(before)


@examples
@given(score_rows(), st.data())
def test_evenly_spaced(rows: Rows, data: st.DataObject) -> None:
    room = [data.draw(st.integers(0, 9)) for _ in rows]
    chosen = [[data.draw(st.booleans()) for _ in row] for row in rows]
    selected = evenly_spaced(padded(chosen, False, 1).bool(), torch.tensor(room)[:, None])
    for layer, row in enumerate(chosen):
        among = [i for i, is_candidate in enumerate(row) if is_candidate]
        count = min(room[layer], len(among))
        expected = [among[i * len(among) // count] for i in range(count)]
        assert selected[layer].nonzero()[:, 0].tolist() == expected
