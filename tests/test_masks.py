"""A mask is made once for all layers, and hides what comes later."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hermes_stream import masks as masks_module
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


def test_small_masks_outlast_a_forward_and_are_few(monkeypatch):
    monkeypatch.setattr(masks_module, "_LASTING", {})
    monkeypatch.setattr(masks_module, "_MAX_LASTING", 3)
    first = Masks().causal(queries(3), 7)
    assert Masks().causal(queries(3), 7) is first
    for held in range(8, 20):
        Masks().causal(queries(3), held)
        assert len(masks_module._LASTING) <= 3
    assert Masks().causal(queries(3), 7) is not first
    monkeypatch.setattr(masks_module, "_MAX_LASTING_BYTES", 0)
    assert Masks().later(queries(3)) is not Masks().later(queries(3))


def test_what_is_made_of_a_mask_is_never_taken_for_that_of_another(monkeypatch):
    """A mask that is gone leaves its place in memory to the next."""
    monkeypatch.setattr(masks_module, "_LASTING", {})
    monkeypatch.setattr(masks_module, "_MAX_LASTING", 2)
    for lengths in ((1, 2, 1), (1, 1, 2), (2, 1, 1), (1, 3)) * 5:
        masks = Masks()
        apart = masks.apart(queries(4), lengths)
        spread = masks.spread(apart, slice(0, 4), 2, held=6, end=6)
        assert torch.equal(spread[0, :4, 2:], apart)
        del apart, spread, masks


def test_a_share_makes_a_mean():
    weights = torch.rand(2, 5, 7)
    share = Masks().share(weights, slice(1, 4))
    torch.testing.assert_close(share @ weights.flatten(0, 1), weights[:, 1:4].mean(dim=(0, 1)))
