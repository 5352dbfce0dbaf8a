"""A mask is made once for all layers, and hides what comes later."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hermes_stream.masks import Masks


def queries(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(4, count, 8, dtype=dtype)


def test_the_last_slots_are_the_new_tokens():
    asked, keys = queries(3)[:2], torch.randn(2, 7, 8)
    mask = Masks().causal(asked, 7)
    got = F.scaled_dot_product_attention(asked, keys, keys, attn_mask=mask)
    seen = torch.arange(7) <= torch.arange(4, 7)[:, None]
    expected = F.scaled_dot_product_attention(asked, keys, keys, attn_mask=seen)
    assert torch.equal(got, expected)
    assert Masks().causal(queries(1), 7) is None


def test_branches_see_the_memory_and_themselves():
    seen = Masks().branches(queries(3), 2, (1, 2))
    assert seen.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]


def test_layers_share_a_mask_of_one_shape_and_dtype():
    masks = Masks()
    first = masks.causal(queries(3), 7)
    assert masks.causal(queries(3), 7) is first
    assert masks.causal(queries(3), 8) is not first
    assert masks.causal(queries(3, torch.bfloat16), 7).dtype == torch.bfloat16
    assert masks.later(queries(2)).tolist() == [[0.0, -torch.inf], [0.0, 0.0]]
