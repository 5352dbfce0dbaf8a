"""Filters against plain loops, and at work in a stream with every policy."""

from __future__ import annotations

import math
from dataclasses import is_dataclass, replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames
from tests.families import FAMILIES, pictures

from hermes_stream import POLICIES, Frame, FullPolicy, HermesPolicy, Session, load_model
from hermes_stream.filters import FILTERS, DifferentialTokenDrop, FluxMem, FrameDedup
from hermes_stream.filters.fluxmem import _distance, otsu

QUESTION = "what is on screen now?"
names = pytest.mark.parametrize("name", FILTERS)
examples = settings(max_examples=40, deadline=None)


def video(frames: int, seed: int, change: float = 0.4, per_frame: int = 9, width: int = 4) -> torch.Tensor:
    """Tokens that change a little, now and then."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [torch.randn(per_frame, width, generator=generator)]
    for _ in range(frames - 1):
        moved = torch.rand(per_frame, 1, generator=generator) < change
        tokens.append(torch.where(moved, torch.randn(per_frame, width, generator=generator), tokens[-1]))
    return torch.stack(tokens)


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


@examples
@given(st.integers(1, 9), st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.9]), st.integers(1, 9))
def test_dtd_compares_with_what_was_kept_last(num_frames, seed, max_cosine, cut):
    tokens = video(num_frames, seed)
    policy = DifferentialTokenDrop(max_cosine=max_cosine)
    first = policy.filter(tokens[:cut], None)
    kept = first.kept.tolist()
    if cut < num_frames:
        kept += policy.filter(tokens[cut:], first.past).kept.tolist()
    rows, last = tokens.tolist(), tokens[0].tolist()
    for frame in range(num_frames):
        for index in range(9):
            new = frame == 0 or cosine(rows[frame][index], last[index]) <= max_cosine
            assert kept[frame][index] == new
            last[index] = rows[frame][index] if new else last[index]


@examples
@given(st.integers(1, 9), st.integers(0, 99), st.sampled_from([0.0, 0.7, 0.95]))
def test_dedup_keeps_a_running_average(num_frames, seed, max_cosine):
    tokens = video(num_frames, seed, change=0.1)
    filtered = FrameDedup(max_cosine=max_cosine).filter(tokens, None)
    groups: list[list[int]] = []
    for frame in range(num_frames):
        mean = tokens[frame].mean(dim=0).tolist()
        if groups and cosine(tokens[groups[-1]].mean(dim=(0, 1)).tolist(), mean) > max_cosine:
            groups[-1].append(frame)
        else:
            groups.append([frame])
    assert filtered.kept.all(dim=1).nonzero()[:, 0].tolist() == [group[0] for group in groups]
    assert torch.equal(filtered.kept.any(dim=1), filtered.kept.all(dim=1))
    for group in groups:
        torch.testing.assert_close(filtered.tokens[group[0]], tokens[group].mean(dim=0), rtol=1e-4, atol=1e-5)
    again = FrameDedup(max_cosine=max_cosine).filter(tokens[-1:], filtered.past)
    assert torch.equal(again.tokens, tokens[-1:])


def slow_otsu(values: list[float]) -> float:
    bins = [0] * 128
    for value in values:
        bins[min(int(value / 2 * 128), 127)] += 1
    if sum(count > 0 for count in bins) < 2:
        return sorted(values)[(len(values) - 1) // 2]
    best, threshold = -1.0, 0.0
    for cut in range(127):
        low = [(i + 0.5) / 64 for i in range(cut + 1) for _ in range(bins[i])]
        high = [(i + 0.5) / 64 for i in range(cut + 1, 128) for _ in range(bins[i])]
        if low and high:
            between = len(low) * len(high) * (sum(low) / len(low) - sum(high) / len(high)) ** 2
            if between > best * (1 + 1e-6):
                best, threshold = between, (cut + 1) / 64
    return threshold


@examples
@example([0.5, 1.0, 1.5])  # two thresholds separate them equally well
@example([0.1, 0.1, 0.1, 0.7, 1.3, 1.3, 1.3])
@given(st.lists(st.floats(0.003, 1.99), min_size=1, max_size=12))
def test_otsu_parts_values_best(values):
    values = [math.floor(value * 64) / 64 + 0.004 for value in values]
    assert float(otsu(torch.tensor(values))) == pytest.approx(slow_otsu(values), abs=1e-6)


def neighbours(index: int) -> list[int]:
    row, column = divmod(index, 3)
    return [
        3 * r + c
        for r in range(row - 1, row + 2)
        for c in range(column - 1, column + 2)
        if 0 <= r < 3 and 0 <= c < 3
    ]


@examples
@given(st.integers(2, 5), st.integers(0, 99), st.booleans())
def test_fluxmem_selects_between_frames(num_frames, seed, with_past):
    tokens = video(num_frames, seed)
    policy = FluxMem(merges=False)
    past = (video(1, seed + 100)[0],) if with_past else None
    filtered = policy.filter(tokens, past)
    rows = tokens.tolist()
    before = past[0].tolist() if past else None
    assert torch.equal(filtered.tokens, tokens)
    assert filtered.kept[-1].all()

    def distances(frame, other):
        return [1 - max(cosine(frame[i], other[j]) for j in neighbours(i)) for i in range(9)]

    for t in range(num_frames - 1):
        forward = distances(rows[t], rows[t + 1])
        previous = rows[t - 1] if t else before
        backward = distances(rows[t], previous) if previous else None
        for i in range(9):
            near, differs = abs(1 - forward[i] - 0.8) < 1e-4, False
            for own in filter(None, (forward, backward)):
                threshold = float(otsu(torch.tensor(own)))
                near = near or abs(own[i] - threshold) < 1e-6  # a median is one of the distances themselves
                differs = differs or own[i] >= threshold
            assert near or bool(filtered.kept[t, i]) == (differs and 1 - forward[i] <= 0.8)


def test_fluxmem_merges_like_neighbours():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 8, generator=generator)
    frame = torch.stack([left, left * 1.5, right] * 3)  # two columns alike, one of its own
    other = torch.randn(9, 8, generator=generator)
    alone = FluxMem(merges=False).filter(torch.stack([frame, other]), None)
    merged = FluxMem().filter(torch.stack([frame, other]), None)
    columns = {0: 0, 1: 0, 2: 1}
    groups = {columns[i % 3] for i in alone.kept[0].nonzero()[:, 0].tolist()}
    assert merged.kept[0].sum() == len(groups)
    for index in merged.kept[0].nonzero()[:, 0].tolist():
        members = [i for i in alone.kept[0].nonzero()[:, 0].tolist() if columns[i % 3] == columns[index % 3]]
        torch.testing.assert_close(merged.tokens[0, index], frame[members].mean(dim=0))
    assert merged.kept[1].all()


@names
def test_it_is_a_frozen_value_with_facts(name):
    token_filter = FILTERS[name]()
    assert is_dataclass(token_filter)
    assert token_filter.__dataclass_params__.frozen
    assert token_filter.facts.summary
    assert token_filter.facts.paper
    with pytest.raises(ValueError, match=r"max_cosine must be in \[-1, 1\]; got 2"):
        FILTERS[name](max_cosine=2)


def still(count: int) -> list[Frame]:
    """Each picture twice."""
    pictures = [frame.image for frame in random_frames((count + 1) // 2)]
    return [Frame(pts_seconds=float(t), image=pictures[t // 2]) for t in range(count)]


@names
@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "full"])
def test_filters_combine_with_every_policy(model, name, policy):
    token_filter = FILTERS[name](max_cosine=0.9)
    bounded = POLICIES[policy](budget_tokens=45)
    session = Session(model, bounded, chunk_frames=4, text_tokens=64, filter=token_filter)
    session.observe(still(14))
    session.flush()
    stats = session.stats
    assert max(session.cache.num_visual_tokens) <= 45
    assert stats.num_visual_tokens_seen == 14 * TOKENS_PER_TEMPORAL_PATCH
    assert session.next_token_logits(QUESTION).isfinite().all()
    assert session.stats.num_visual_tokens_dropped > 0
    state = session.cache.state()
    assert int(state.temporal_patch_ids.max()) < 14


def test_dropping_nothing_changes_nothing_and_dropping_repeats_is_not_seeing_them(model):
    frames = still(12)
    plain = Session(model, HermesPolicy.paper(40), chunk_frames=4)
    kept = Session(model, HermesPolicy.paper(40), chunk_frames=4, filter=FrameDedup(max_cosine=1.0))
    for session in (plain, kept):
        session.observe(random_frames(12))
        session.flush()
    assert torch.equal(plain.next_token_logits(QUESTION), kept.next_token_logits(QUESTION))
    once = Session(model, FullPolicy(), chunk_frames=12)
    thinned = Session(model, FullPolicy(), chunk_frames=12, filter=DifferentialTokenDrop(max_cosine=0.99999))
    once.observe(frames[::2])
    thinned.observe(frames)
    thinned.flush()
    assert thinned.stats.num_visual_tokens_dropped == 54
    state = thinned.cache.state()
    assert state.temporal_patch_ids[0].unique().tolist() == list(range(6))
    assert state.pts_seconds[0].unique().tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_the_clock_follows_what_was_seen_not_what_was_kept(name, tmp_path):
    """Also in chunks of which nothing is kept; kept tokens stand where they would without a filter."""
    model = load_model(FAMILIES[name].save(tmp_path), device="cpu")
    first, other = pictures(2)[0].image, pictures(2, seed=1)[0].image
    shown = [Frame(pts_seconds=float(t), image=other if t in (3, 4) else first) for t in range(14)]
    plain, thinned = (
        Session(model, FullPolicy(), chunk_frames=4, filter=token_filter)
        for token_filter in (None, DifferentialTokenDrop(max_cosine=0.99))
    )
    clocks = []
    for start in (0, 4, 8, 12):
        for session in (plain, thinned):
            session.observe(shown[start : start + 4])
            session.flush()
        clocks.append((plain.cache.next_position, plain.cache.next_frame_position))
        assert (thinned.cache.next_position, thinned.cache.next_frame_position) == clocks[-1]
    assert thinned.stats.num_visual_tokens_dropped > 20
    kept = thinned.cache.positions(0)[:, thinned.cache.num_prefix_tokens :].T.tolist()
    assert {tuple(at) for at in kept} < {tuple(at) for at in plain.cache.positions(0).T.tolist()}
    assert kept == sorted(kept)


def test_a_chunk_that_fails_leaves_the_filter_where_it_was(model, monkeypatch):
    one, other = (
        Session(model, FullPolicy(), chunk_frames=4, filter=DifferentialTokenDrop(max_cosine=0.9))
        for _ in range(2)
    )
    one.observe(still(12))
    other.observe(still(12)[:7])

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(model.decoder), "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        other.observe(still(12)[7:8])
    monkeypatch.undo()
    other.observe(still(12)[8:])
    assert one.stats.num_visual_tokens_dropped == other.stats.num_visual_tokens_dropped > 0
    assert torch.equal(one.next_token_logits(QUESTION), other.next_token_logits(QUESTION))


def test_a_memory_that_forgets_all_has_no_past_to_compare_with(model):
    session = Session(model, FullPolicy(), chunk_frames=4, filter=FrameDedup(max_cosine=0.99))
    session.observe(replace(random_frames(1)[0], pts_seconds=float(k)) for k in range(4))
    memory, held = session._stream.memory, session.cache.num_tokens
    memory.forget_video()
    session._executor.run(memory.fold(random_frames(1), None, lambda: None))
    assert session.cache.num_tokens == held


def test_fluxmem_goes_on_from_the_newest_frame():
    tokens = video(7, seed=3)
    policy = FluxMem(merges=False)
    first = policy.filter(tokens[:3], None)
    assert torch.equal(first.past[0], tokens[2])
    second = policy.filter(tokens[3:], first.past)
    whole = policy.filter(tokens[2:], None)
    assert torch.equal(second.kept, whole.kept[1:])


def test_dedup_weighs_frames_alike_also_those_of_earlier_chunks():
    frames = torch.eye(4)[:3].unsqueeze(1).repeat(1, 9, 1) + 5
    policy, past = FrameDedup(max_cosine=0.9), None
    for frame in frames:
        filtered = policy.filter(frame[None], past)
        past = filtered.past
    assert not filtered.kept.any()
    torch.testing.assert_close(past[0], frames.mean(dim=0))


def test_fluxmem_keeps_and_merges_what_differs_everywhere_alike():
    one, other = torch.eye(4)[:2]
    frames = torch.stack([one.repeat(9, 1), other.repeat(9, 1)])
    assert FluxMem(merges=False).filter(frames, None).kept.all()
    merged = FluxMem().filter(frames, None)
    assert merged.kept.sum(dim=1).tolist() == [1, 9]
    torch.testing.assert_close(merged.tokens[0][merged.kept[0]], one[None])


def test_fluxmem_keeps_what_is_like_the_next_frame_but_not_the_one_before():
    axes = torch.eye(5)
    before = axes[0].repeat(2, 1)
    own = axes[1:3]
    after = torch.stack([0.7 * axes[1] + 0.51**0.5 * axes[3], 0.1 * axes[2] + 0.99**0.5 * axes[4]])
    filtered = FluxMem(merges=False).filter(torch.stack([own, after]), (before,))
    assert filtered.kept[0].tolist() == [True, True]


def test_beyond_the_edge_of_a_picture_there_is_nothing_to_be_like():
    picture = torch.ones(1, 1, 1, 4) / 2
    assert float(_distance(picture, -picture)) == pytest.approx(2.0)
