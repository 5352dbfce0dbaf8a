"""Records move with their tokens, and new slots inherit from the tokens that they name."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.test_cache import LAYERS, append, layout, made, plan

from hermes_stream.cache import StreamCache
from hermes_stream.memory.state import VisualOrigin
from hermes_stream.records import Records


def filled(lengths: list[int], count: int) -> Records:
    records = Records(layout(3), 12)
    origin = VisualOrigin(
        temporal_patch_ids=torch.arange(count) // 2,
        pts_seconds=torch.arange(count) * 0.5,
        grid_indices=torch.arange(count) % 2,
        is_text=torch.arange(count) == 0,
    )
    records.append(lengths, torch.arange(3 * count).view(3, count), origin, first_id=5)
    return records


def test_layers_of_unlike_lengths_get_the_same_tokens_behind_their_own():
    lengths = [2] + [3] * (LAYERS - 1)
    records = filled(lengths, 4)
    for layer, start in enumerate(lengths):
        new = slice(start, start + 4)
        assert records.token_ids[layer, new].tolist() == [5, 6, 7, 8]
        assert records.counts[layer, new].tolist() == [0, 1, 1, 1]
        assert records.pts_seconds[layer, new].tolist() == [0, 0.5, 1, 1.5]
        assert records.positions[layer, 1, new].tolist() == [4, 5, 6, 7]
        assert records.token_ids[layer, :start].eq(-1).all()


def test_kept_tokens_move_and_new_slots_inherit():
    records = filled([2] * LAYERS, 4)
    keep = torch.tensor([[1, 3]]).expand(LAYERS, -1)
    sources = torch.tensor([[2]]).expand(LAYERS, -1)
    records.retain(2, keep, [(slice(0, 1), 4, 1)], sources=sources)
    assert records.token_ids[:, 2:4].tolist() == [[6, 8]] * LAYERS
    assert records.token_ids[0, 4] == 7
    assert records.positions[0, 2, 4] == 10
    assert records.token_ids[1, 4] == 7  # untouched: the third token's old place


def test_what_is_shown_is_a_copy_with_padding_behind_each_layers_tokens():
    records = filled([2] * LAYERS, 4)
    shown = records.shown(slice(2, 6), [4, 2, 0])
    assert shown["token_ids"].tolist() == [[5, 6, 7, 8], [5, 6, -1, -1], [-1] * 4]
    assert shown["counts"].tolist() == [[0, 1, 1, 1], [0, 1, 0, 0], [0] * 4]
    assert shown["pts_seconds"].tolist() == [[0, 0.5, 1, 1.5], [0, 0.5, 0, 0], [0] * 4]
    records.token_ids.zero_()
    assert records.shown(slice(2, 6), [4] * LAYERS)["grid_indices"].tolist() == [[0, 1, 0, 1]] * LAYERS
    assert shown["token_ids"][0].tolist() == [5, 6, 7, 8]


def test_the_grid_is_as_large_as_the_largest_picture_that_came():
    cache = StreamCache(layout(), [40] * LAYERS, num_prefix_tokens=0)
    for count in (6, 2):
        positions = torch.arange(count)[None] + cache.next_position
        grid = {"temporal_patch_ids": positions[0], "grid_indices": torch.arange(count)}
        cache.append(positions, VisualOrigin(**grid, pts_seconds=positions[0] / 2))
    assert cache.state().grid_size == 6


def test_layers_that_differ_are_never_known_to_be_alike_again():
    cache = made()
    cache.apply(plan([[0, 1], [0, 1], [0, 2]]))
    cache.apply(replace(plan([[0]] * LAYERS), is_shared=True))
    assert not cache.state().layers_alike


def test_a_summary_has_no_place_in_a_picture():
    cache = made(visual=0)
    positions = torch.arange(4)[None] + cache.next_position
    origin = {"temporal_patch_ids": positions[0], "grid_indices": torch.arange(4)}
    append(cache, positions, VisualOrigin(**origin, pts_seconds=positions[0] / 2))
    cache.apply(plan([[0, 3]] * LAYERS, summarize=True))
    state = cache.state()
    assert state.grid_indices.tolist() == [[0, 3, -1]] * LAYERS
    assert state.temporal_patch_ids[:, 2].eq(-1).all()


def test_eight_bits_have_no_slots_that_a_text_may_use():
    whole, rounded = (
        StreamCache(replace(layout(), kv_bits=bits), [20] * LAYERS, num_prefix_tokens=0) for bits in (None, 8)
    )
    assert (whole.num_free_slots, rounded.num_free_slots) == (20, 0)
