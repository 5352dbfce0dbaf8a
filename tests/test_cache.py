"""The cache: what it keeps is untouched, what it forgets is gone, and it never grows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from tests import oracles

from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.positions import PositionRule
from hermes_stream.memory.rope import RotaryLayout, rotate
from hermes_stream.memory.state import RetentionPlan, VisualOrigin
from hermes_stream.saved_cache import restore_cache, saved_cache

LAYERS, HEADS, DIM, PREFIX = 3, 2, 8, 4


def layout(axes: int = 1) -> CacheLayout:
    inv_freq = 1 / 10_000 ** (torch.arange(0, DIM, 2) / DIM)
    rotary = RotaryLayout.one_axis(inv_freq) if axes == 1 else RotaryLayout.sectioned(inv_freq, (2, 1, 1))
    return CacheLayout(
        num_layers=LAYERS,
        num_kv_heads=HEADS,
        head_dim=DIM,
        dtype=torch.float32,
        device=torch.device("cpu"),
        rotary=rotary,
        max_positions=10_000,
    )


def fill(cache: StreamCache, count: int, *, visual: bool = True, num_text_tokens: int = 0) -> None:
    """Append random tokens to every layer, as an attention would; the first may be text of a patch."""
    axes = cache.layout.rotary.num_axes
    positions = torch.arange(cache.next_position, cache.next_position + count).expand(axes, -1)
    origin = None
    if visual:
        is_text = torch.arange(count) < num_text_tokens
        origin = VisualOrigin(
            temporal_patch_ids=positions[0] // 2, pts_seconds=positions[0] / 2, is_text=is_text
        )
    append(cache, positions, origin)


def append(cache: StreamCache, positions: torch.Tensor, origin: VisualOrigin | None) -> None:
    cache.append(positions, origin)
    cos, sin = cache.layout.rotary.cos_sin(positions)
    for layer in range(LAYERS):
        raw, values = torch.randn(2, HEADS, positions.shape[1], DIM)
        cache.store(layer, raw_keys=raw, rotated_keys=rotate(raw, cos, sin), values=values)


def made(visual: int = 10, *, capacity: int = 40, axes: int = 1, **settings) -> StreamCache:
    torch.manual_seed(0)
    cache = StreamCache(layout(axes), [capacity] * LAYERS, num_prefix_tokens=PREFIX, **settings)
    fill(cache, PREFIX, visual=False)
    if visual:
        fill(cache, visual)
    return cache


def plan(keep: list[list[int]], *, summarize: bool = False, reindex: bool = False) -> RetentionPlan:
    width = max(map(len, keep))
    padded = torch.tensor([row + [-1] * (width - len(row)) for row in keep], dtype=torch.long)
    return RetentionPlan(keep=padded, summarize=torch.full((LAYERS,), summarize), reindex=reindex)


def test_keeps_what_the_plan_keeps_in_every_layer():
    cache = made()
    keys, values = cache.keys(1).clone(), cache.values(1).clone()
    cache.apply(plan([[0, 1, 2], [2, 5, 9], [9]]))
    assert cache.num_visual_tokens == (3, 3, 1)
    kept = [*range(PREFIX), PREFIX + 2, PREFIX + 5, PREFIX + 9]
    assert torch.equal(cache.keys(1), keys[:, kept])
    assert torch.equal(cache.values(1), values[:, kept])
    state = cache.state()
    assert state.token_ids.tolist() == [[0, 1, 2], [2, 5, 9], [9, -1, -1]]
    assert state.temporal_patch_ids[1].tolist() == [3, 4, 6]
    assert cache.positions(1).tolist() == [[0, 1, 2, 3, 6, 9, 13]]


def test_a_summary_is_the_mean_of_what_was_evicted():
    cache = made()
    keys, values = cache.keys(2).clone(), cache.values(2).clone()
    cache.apply(plan([[1, 3]] * LAYERS, summarize=True))
    gone = [PREFIX + i for i in (0, 2, 4, 5, 6, 7, 8, 9)]
    torch.testing.assert_close(cache.keys(2)[:, -1], keys[:, gone].mean(dim=1))
    torch.testing.assert_close(cache.values(2)[:, -1], values[:, gone].mean(dim=1))
    state = cache.state()
    assert state.token_ids.tolist() == [[1, 3, 10]] * LAYERS
    assert state.counts.tolist() == [[1, 1, 8]] * LAYERS
    assert state.temporal_patch_ids[0, -1] == -1
    assert state.pts_seconds[0, -1] == 6.5
    assert cache.positions(0)[0].tolist() == [0, 1, 2, 3, 5, 7, 7]
    assert cache.next_position == 14
    fill(cache, 2)
    assert cache.state().token_ids[0].tolist() == [1, 3, 10, 11, 12]


def test_the_state_pads_shorter_layers_and_numbers_tokens_within_their_patch():
    cache = made(visual=0)
    fill(cache, 2)
    origin = VisualOrigin(
        temporal_patch_ids=torch.tensor([5, 5, 5]),
        pts_seconds=torch.tensor([2.5] * 3),
        grid_indices=torch.tensor([0, 1, 2]),
    )
    append(cache, cache.next_position + torch.arange(3)[None], origin)
    assert cache.is_untouched
    assert cache.state().grid_indices.tolist() == [[-1, -1, 0, 1, 2]] * LAYERS
    cache.apply(plan([[1, 2, 4], [0], []]))
    assert not cache.is_untouched
    state = cache.state()
    assert state.token_ids.tolist() == [[1, 2, 4], [0, -1, -1], [-1] * 3]
    assert state.temporal_patch_ids.tolist() == [[2, 5, 5], [2, -1, -1], [-1] * 3]
    assert state.grid_indices.tolist() == [[-1, 0, 2], [-1] * 3, [-1] * 3]
    assert state.pts_seconds.tolist() == [[2.5, 2.5, 2.5], [2.0, 0, 0], [0] * 3]
    assert state.counts.tolist() == [[1, 1, 1], [1, 0, 0], [0] * 3]
    assert state.lengths.tolist() == [3, 1, 0]
    assert state.raw_keys is state.values is None


def test_text_tokens_never_join_a_summary():
    cache = made(visual=0)
    fill(cache, 10, num_text_tokens=3)
    keys = cache.keys(1).clone()
    cache.apply(plan([[1, 4]] * LAYERS, summarize=True))
    gone = [PREFIX + i for i in (3, 5, 6, 7, 8, 9)]
    torch.testing.assert_close(cache.keys(1)[:, -1], keys[:, gone].mean(dim=1))
    assert cache.state().counts.tolist() == [[0, 1, 6]] * LAYERS


def test_a_plan_leaves_gaps_unless_it_says_otherwise():
    cache = made()
    keep = torch.tensor([[0, 9]] * LAYERS)
    cache.apply(RetentionPlan(keep=keep, summarize=torch.zeros(LAYERS, dtype=torch.bool)))
    assert cache.positions(0)[0].tolist() == [0, 1, 2, 3, 4, 13]
    assert cache.next_position == 14


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("reindex", [False, True])
def test_a_summary_stands_at_the_newest_kept_token_and_moves_no_clock(axes, reindex):
    cache, without = made(axes=axes), made(axes=axes)
    cache.apply(plan([[0, 9], [1, 4], [0]], summarize=True, reindex=reindex))
    without.apply(plan([[0, 9], [1, 4], [0]], reindex=reindex))
    for layer in range(LAYERS):
        assert torch.equal(cache.positions(layer)[:, :-1], without.positions(layer))
        assert torch.equal(cache.positions(layer)[:, -1], without.positions(layer)[:, -1])
    assert cache.next_position == without.next_position
    assert cache.next_frame_position == without.next_frame_position == (PREFIX + 2 if reindex else 14)


def test_the_newest_token_is_the_furthest_in_time_whatever_its_row_and_column():
    cache = made(visual=0, axes=3)
    positions = torch.tensor([[4, 4, 5, 5], [4, 9, 4, 5], [8, 4, 5, 4]])
    append(cache, positions, VisualOrigin(temporal_patch_ids=positions[0], pts_seconds=positions[0] / 2))
    cache.apply(plan([[1, 2, 3], [0, 1], [2]], summarize=True))
    assert [cache.positions(layer)[:, -1].tolist() for layer in range(LAYERS)] == [
        [5, 5, 4],
        [4, 9, 4],
        [5, 4, 5],
    ]
    assert (cache.next_position, cache.next_frame_position) == (10, 6)


def test_layers_may_gain_slots_where_others_have_none():
    torch.manual_seed(0)
    cache = StreamCache(layout(), (14, 40, 60), num_prefix_tokens=PREFIX)
    fill(cache, PREFIX, visual=False)
    for count in (10, 8, 8):
        fill(cache, count)
        held = cache.num_visual_tokens
        cache.apply(plan([[0, 1], list(range(held[1])), list(range(held[2]))]))
    few = RetentionPlan(
        keep=plan([[0, 1], list(range(14)), list(range(25))]).keep,
        summarize=torch.tensor([False, True, True]),
    )
    cache.apply(few)
    assert cache.num_visual_tokens == (2, 15, 26)
    for layer in range(LAYERS):
        rotated = rotate(cache.keys(layer), *cache.layout.rotary.cos_sin(cache.positions(layer)))
        torch.testing.assert_close(cache.rotated_keys(layer), rotated)


def test_in_the_released_code_a_summary_stands_behind_all_and_moves_the_clock():
    cache = made(position_rule=PositionRule(axes="all", summary="end"))
    cache.apply(plan([[0, 9]] * LAYERS, summarize=True))
    assert cache.positions(0)[0, -1] == 14
    assert cache.next_position == cache.next_frame_position == 15


def test_no_eviction_no_summary():
    cache = made()
    cache.apply(plan([list(range(10))] * LAYERS, summarize=True))
    assert cache.num_visual_tokens == (10,) * LAYERS
    assert cache.num_compressions == 0


@pytest.mark.parametrize("axes", [1, 3])
def test_reindexing_closes_gaps_and_rotates_the_keys(axes):
    cache = made(axes=axes, position_rule=PositionRule(axes="all"))
    cache.apply(plan([[2, 5, 9], [0, 9], [4, 5, 6]], reindex=True))
    assert cache.next_position == PREFIX + 3
    assert cache.positions(0)[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert cache.positions(1)[0].tolist() == [1, 2, 3, 4, 5, 6]  # aligned to the right: one common now
    for layer in range(LAYERS):
        cos, sin = cache.layout.rotary.cos_sin(cache.positions(layer))
        assert torch.equal(cache.rotated_keys(layer), rotate(cache.keys(layer), cos, sin))
    cache.apply(plan([[1], [1], [1]], reindex=True))
    assert cache.next_position == PREFIX + 1
    assert cache.positions(1)[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("axes", [1, 3])
def test_scaled_gaps_keep_ages_in_proportion_in_every_layer(axes):
    cache = made(visual=0, axes=axes, position_rule=PositionRule(gaps="scaled"), span=100)
    time = torch.tensor([4, 204, 604, 804])
    positions = torch.stack([time] + [torch.arange(4)] * (axes - 1))
    append(cache, positions, VisualOrigin(temporal_patch_ids=time, pts_seconds=time / 2))
    cache.advance(torch.full((axes, 1), 1003))  # a filter dropped what came last
    cache.apply(plan([[0, 1, 2, 3], [1, 3], []], summarize=True, reindex=True))
    assert cache.next_position == cache.next_frame_position == PREFIX + 100
    ages = [(PREFIX + 100 - cache.positions(layer)[0, PREFIX:]).tolist() for layer in range(LAYERS)]
    assert ages[0] == pytest.approx([100, 80, 40, 20], abs=3)
    assert ages[1] == pytest.approx([100, 25, 25], abs=3)  # of 800 and 200 positions
    assert cache.positions(2)[0, :PREFIX].tolist() == [PREFIX + 100 - 4 + i for i in range(4)]
    if axes == 3:
        assert cache.positions(0)[1:, PREFIX:].tolist() == [[0, 1, 2, 3]] * 2
    cache.apply(plan([[0, 1], [0], [0]], reindex=True))
    assert cache.next_frame_position == PREFIX + 100


def test_rewind_is_exact():
    cache = made()
    before = [cache.keys(i).clone() for i in range(LAYERS)]
    mark = cache.mark()
    fill(cache, 3, visual=False)
    with pytest.raises(ValueError, match="rewind"):
        fill(cache, 1)
    with pytest.raises(ValueError, match="question"):
        cache.apply(plan([[0]] * LAYERS))
    cache.rewind(mark)
    assert cache.mark() == mark
    assert all(torch.equal(cache.keys(i), old) for i, old in enumerate(before))
    fill(cache, 3)
    cache.rewind(mark)
    assert cache.mark() == mark
    cache.apply(plan([[0]] * LAYERS))
    with pytest.raises(ValueError, match="before a compression"):
        cache.rewind(mark)


class PlainLayer:
    """What one layer must hold, as lists: each token's id, key, value and position on each axis."""

    def __init__(self, cache: StreamCache, layer: int) -> None:
        self.cache, self.layer = cache, layer
        self.prefix = cache.positions(layer).T.tolist()
        self.tokens: list[dict] = []

    def append(self, count: int, first_id: int, positions: torch.Tensor) -> None:
        keys, values = (part(self.layer)[:, -count:].clone() for part in (self.cache.keys, self.cache.values))
        for i in range(count):
            token = {"key": keys[:, i], "value": values[:, i], "position": positions[:, i].tolist()}
            self.tokens.append({"id": first_id + i, **token})

    def evict(self, kept: list[int], *, summarize: bool, summary_id: int, dense: bool) -> int:
        """Apply a plan; return the first free position of the axes that are aligned."""
        gone = [token for i, token in enumerate(self.tokens) if i not in kept]
        self.tokens = [self.tokens[i] for i in kept]
        if dense:
            self.prefix = [[i] * len(self.prefix[0]) for i in range(PREFIX)]
            for axis in self.closed_axes:
                row = [token["position"][axis] for token in self.tokens]
                for token, position in zip(self.tokens, oracles.dense(row, PREFIX), strict=True):
                    token["position"][axis] = position
        if summarize and gone:
            places = [*self.prefix, *(token["position"] for token in self.tokens)]
            if self.cache.position_rule.summary == "newest":
                at = list(max(reversed(places), key=lambda place: place[0]))
            else:
                at = [max(map(max, places)) + 1] * len(self.prefix[0])
            key, value = (
                torch.stack([token[part] for token in gone]).mean(dim=0) for part in ("key", "value")
            )
            self.tokens.append({"id": summary_id, "key": key, "value": value, "position": at})
        return self.end(self.closed_axes)

    @property
    def closed_axes(self) -> range:
        return range(1 if self.cache.position_rule.axes == "t" else len(self.prefix[0]))

    def end(self, axes: range) -> int:
        places = [*self.prefix, *(token["position"] for token in self.tokens)]
        return max(place[axis] for place in places for axis in axes) + 1

    def shift(self, distance: int) -> None:
        for place in [*self.prefix, *(token["position"] for token in self.tokens)]:
            for axis in self.closed_axes:
                place[axis] += distance

    def check(self) -> None:
        cache, layer = self.cache, self.layer
        state, count = cache.state(), len(self.tokens)
        assert cache.num_visual_tokens[layer] == count
        assert state.token_ids[layer, :count].tolist() == [token["id"] for token in self.tokens]
        expected = [*self.prefix, *(token["position"] for token in self.tokens)]
        assert cache.positions(layer).T.tolist() == expected
        rotated = rotate(cache.keys(layer), *cache.layout.rotary.cos_sin(cache.positions(layer)))
        assert torch.equal(cache.rotated_keys(layer), rotated)
        for i, token in enumerate(self.tokens):
            for part, stored in (("key", cache.keys(layer)), ("value", cache.values(layer))):
                if not token.get("checked"):  # a new summary is a mean up to rounding, and exact from then on
                    torch.testing.assert_close(stored[:, PREFIX + i], token[part])
                    token[part] = stored[:, PREFIX + i].clone()
                assert torch.equal(stored[:, PREFIX + i], token[part])
            token["checked"] = True


RULES = (PositionRule(), PositionRule(axes="all", summary="end"), PositionRule(summary="end"))


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("axes", [1, 3])
def test_ragged_compressions_move_tokens_and_never_change_them(axes, rule):
    """Layers keep different numbers of tokens, summarize, and close gaps now and then."""
    cache, draw = made(visual=0, capacity=20, axes=axes, position_rule=rule), random.Random(axes)
    layers = [PlainLayer(cache, layer) for layer in range(LAYERS)]
    next_id = 0
    for _ in range(150):
        clock, frame_clock, count = cache.next_position, cache.next_frame_position, draw.randint(1, 4)
        # Rows and columns fall behind time, as in a stream, or time behind them, as at its beginning.
        slower = draw.randint(1, 3)
        positions = torch.stack([clock + torch.arange(count) // (1 + axis * slower) for axis in range(axes)])
        append(cache, positions, VisualOrigin(temporal_patch_ids=positions[0], pts_seconds=positions[0] / 2))
        for plain in layers:
            plain.append(count, next_id, positions)
        next_id, clock, frame_clock = next_id + count, clock + count, max(frame_clock, clock + count)
        assert (cache.next_position, cache.next_frame_position) == (clock, frame_clock)
        kept = [
            sorted(draw.sample(range(len(p.tokens)), draw.randint(0, min(len(p.tokens), 9)))) for p in layers
        ]
        summarize, dense = draw.random() < 0.3, draw.random() < 0.3
        evicts = [len(rows) < len(plain.tokens) for rows, plain in zip(kept, layers, strict=True)]
        cache.apply(plan(kept, summarize=summarize, reindex=dense))
        ends = [
            plain.evict(rows, summarize=summarize, summary_id=next_id, dense=dense)
            for rows, plain in zip(kept, layers, strict=True)
        ]
        next_id += summarize and any(evicts)
        for plain, end in zip(layers, ends, strict=True):
            plain.shift(max(ends) - end if dense else 0)
            plain.check()
        on_any, on_t = (max(plain.end(of) for plain in layers) for of in (range(axes), range(1)))
        expected = (on_any, on_t) if dense else (max(clock, on_any), max(frame_clock, on_t))
        assert (cache.next_position, cache.next_frame_position) == expected


def test_a_full_buffer_is_refused_with_the_numbers_and_nothing_changes():
    cache = made(capacity=16)
    mark = cache.mark()
    with pytest.raises(CapacityError, match=r"3 more tokens.*14 of 16"):
        fill(cache, 3, visual=False)
    assert cache.mark() == mark


def test_a_growable_buffer_doubles_and_keeps_its_contents():
    cache = made(capacity=14, growable=True)
    keys, positions = cache.keys(1).clone(), cache.positions(1).clone()
    assert cache.buffers.capacities == (14,) * LAYERS
    fill(cache, 1)
    assert cache.buffers.capacities == (28,) * LAYERS
    fill(cache, 29)
    assert torch.equal(cache.keys(1)[:, :14], keys)
    assert torch.equal(cache.positions(1)[:, :14], positions)
    assert cache.state().token_ids[0].tolist() == list(range(40))
    assert cache.buffers.capacities == (56,) * LAYERS
    fill(cache, 70)
    assert cache.buffers.capacities == (114,) * LAYERS


def test_a_plan_for_another_model_is_refused():
    with pytest.raises(ValueError, match="2 layers"):
        made().apply(
            RetentionPlan(
                keep=torch.zeros(2, 1, dtype=torch.long), summarize=torch.zeros(2, dtype=torch.bool)
            )
        )


def test_layers_are_known_to_be_alike_until_they_keep_different_tokens():
    cache = made()
    assert cache.state().layers_alike
    cache.apply(replace(plan([[0, 2, 5]] * LAYERS), is_shared=True))
    fill(cache, 4)
    assert cache.state().layers_alike
    other = made(visual=0)
    restore_cache(other, saved_cache(cache))
    assert other.state().layers_alike
    cache.apply(plan([[0, 1], [0, 1], [0, 2]]))
    assert not cache.state().layers_alike
    other = made(visual=0)
    restore_cache(other, saved_cache(cache))
    assert not other.state().layers_alike


def test_what_is_stored_in_free_slots_is_no_part_of_the_cache():
    cache = made(capacity=20)
    before = [cache.keys(layer).clone() for layer in range(LAYERS)]
    assert cache.num_free_slots == 20 - PREFIX - 10
    text = torch.randn(HEADS, 3, DIM)
    cache.store(1, raw_keys=text, rotated_keys=text, values=text, behind=3)
    assert torch.equal(cache.rotated_keys(1, 3)[:, -3:], text)
    assert torch.equal(cache.values(1, 3)[:, -3:], text)
    assert all(torch.equal(cache.keys(layer), keys) for layer, keys in enumerate(before))
    assert cache.num_tokens == (PREFIX + 10,) * LAYERS
