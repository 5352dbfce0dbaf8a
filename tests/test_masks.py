"""A mask is made once for all layers, and hides what comes later."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hermes_stream.masks import Masks, forget_masks


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


def test_small_masks_outlast_a_forward():
    forget_masks()
    masks = [Masks().apart(queries(4), (1, 2, 1), 2, held=6, end=8) for _ in range(2)]
    assert masks[0] is masks[1]
    forget_masks()
    assert Masks().apart(queries(4), (1, 2, 1), 2, held=6, end=8) is not masks[0]
    other = [Masks().apart(queries(4), (1, 2, 1), 2**14, held=6, end=8) for _ in range(2)]
    assert other[0] is not other[1]


def test_texts_behind_a_text_see_it_and_not_each_other():
    hidden = Masks().apart(queries(4), (1, 2, 1), 2, held=6, end=8)[0].isinf().int()
    own = [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 0]]
    assert hidden[:, :6].tolist() == own * 2
    assert hidden[:, 6:].all()


def test_a_share_makes_a_mean():
    weights = torch.rand(2, 5, 7)
    share = Masks().share(weights, slice(1, 4))
    torch.testing.assert_close(share @ weights.flatten(0, 1), weights[:, 1:4].mean(dim=(0, 1)))
