"""Explicit attention weights are made a few tokens at a time, so that they take 64 MiB at most."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hermes_stream import attention_weights
from hermes_stream.attention_weights import Observation, observe, probe
from hermes_stream.masks import Masks

HEADS, KV_HEADS, WIDTH, HELD, TOKENS = 28, 4, 128, 4800, 400  # of a layer at 7B


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made inside."""

    num_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [one.untyped_storage().nbytes() for one in tree_leaves(made) if isinstance(one, Tensor)]
        self.num_bytes = max(self.num_bytes, *sizes, 0)
        return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("observes", [False, True])
def test_weights_are_bounded_in_bytes(dtype, observes):
    queries, keys, values = (
        torch.empty(*shape, WIDTH, dtype=dtype, device="meta")
        for shape in ((HEADS, TOKENS), (KV_HEADS, HELD), (KV_HEADS, HELD))
    )
    collected = torch.empty(1, HELD, device="meta")
    assert 4 * HEADS * TOKENS * HELD > 3 * 64 * 2**20  # what all weights at once would take
    with Largest() as largest:
        if observes:
            seen = Observation(weights=collected, num_tokens=TOKENS)
            observe(seen, 0, queries, keys, masks=Masks(), scaling=1.0)
        else:
            probe(collected[0], queries, keys, values, num_hidden=0, masks=Masks(), scaling=1.0)
    assert 2**20 < largest.num_bytes <= 64 * 2**20


def test_weights_made_in_parts_are_those_made_at_once(monkeypatch):
    seed = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(*shape, 8, generator=seed) for shape in ((4, 9), (2, 30), (2, 30)))
    results = []
    for most in (64 * 2**20, 4 * 4 * 30 * 2):  # of two tokens
        monkeypatch.setattr(attention_weights, "_MAX_WEIGHT_BYTES", most)
        collected = torch.zeros(30)
        read = probe(collected, queries, keys, values, num_hidden=0, masks=Masks(), scaling=0.3)
        results.append((collected, read))
    torch.testing.assert_close(results[0], results[1])
