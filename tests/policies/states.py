"""Memory states to show to a policy."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from hermes_stream.memory.state import MemoryState, RetentionPlan


def make_state(
    lengths: list[int],
    *,
    tokens_per_temporal_patch: int = 3,
    seed: int = 0,
    padding: int = 0,
) -> MemoryState:
    """Layers of these lengths, each holding the newest tokens of one stream, with random attention."""
    generator = torch.Generator().manual_seed(seed)
    num_layers, width = len(lengths), max(lengths) + padding
    length = torch.tensor(lengths)[:, None]
    index = torch.arange(width).expand(num_layers, -1)
    present = index < length
    ids = torch.where(present, index + max(lengths) - length, -1)
    frames = torch.where(present, ids // tokens_per_temporal_patch, -1)
    random = torch.rand(num_layers, width, generator=generator)
    return MemoryState(
        num_prefix_tokens=2,
        token_ids=ids,
        temporal_patch_ids=frames,
        pts_seconds=frames.clamp(min=0).double(),
        counts=present.long(),
        attention=torch.where(present, random, 0.0),
        grid_indices=torch.where(present, ids % tokens_per_temporal_patch, -1),
        raw_keys=tuple(torch.randn(2, count, 4, generator=generator) for count in lengths),
        rotated_keys=tuple(torch.randn(2, count, 4, generator=generator) for count in lengths),
        values=tuple(torch.randn(2, count, 4, generator=generator) for count in lengths),
    )


states = st.builds(
    make_state,
    st.lists(st.integers(0, 14), min_size=1, max_size=12),
    tokens_per_temporal_patch=st.integers(1, 5),
    seed=st.integers(0, 99),
    padding=st.integers(0, 2),
)


def kept_rows(plan: RetentionPlan) -> list[list[int]]:
    return [[index for index in row if index >= 0] for row in plan.keep.tolist()]


def check_contract(plan: RetentionPlan, state: MemoryState, budgets: tuple[int, ...]) -> None:
    """Budget kept, indices sorted and unique, padding never kept."""
    for layer, kept in enumerate(kept_rows(plan)):
        length = int(state.lengths[layer])
        evicts = len(kept) < length
        num_slots = len(kept) + int(plan.summarize[layer] and evicts)
        if plan.merge is not None:
            num_slots += check_merge(plan, layer, length)
        assert num_slots <= budgets[layer]
        assert kept == sorted(set(kept))
        assert all(index < length for index in kept)
        assert plan.keep[layer].tolist() == kept + [-1] * (plan.keep.shape[1] - len(kept))


def check_merge(plan: RetentionPlan, layer: int, length: int) -> int:
    """New slots join tokens there are, weights sum to 1; return how many slots there are."""
    merge = plan.merge
    sources = merge.source_indices[layer].tolist()
    slots = [index for index in sources if index >= 0]
    assert sources == slots + [-1] * (len(sources) - len(slots))
    assert all(index < length for index in slots)
    joined, weights = merge.slot_of_token[layer], merge.weights[layer]
    assert (joined[length:] == -1).all()
    assert all(slot < len(slots) for slot in joined.tolist())
    for slot in range(len(slots)):
        assert abs(float(weights[joined == slot].sum()) - 1) < 1e-5
    return len(slots)
