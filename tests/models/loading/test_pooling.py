"""Pooling by gathers is the family's own, and taken where both agree."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from hermes_stream.models.loading.pooling import fuse_pooling, pooled


def interpolated(features, side):
    pictures = features.view(len(features), side, side, -1).permute(0, 3, 1, 2)
    smaller = F.interpolate(pictures, size=[-(-side // 2)] * 2, mode="bilinear")
    return smaller.permute(0, 2, 3, 1).reshape(len(features), -1, features.shape[2])


@pytest.mark.parametrize("side", [1, 2, 6, 9, 27])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 8e-3)])
def test_it_is_bilinear_interpolation(side, dtype, near):
    features = torch.randn(3, side * side, 5, generator=torch.Generator().manual_seed(side)).to(dtype)
    found, expected = pooled(features, side), interpolated(features.float(), side)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=near, atol=near)


def model_with(pooling):
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=27, patch_size=3))
    return SimpleNamespace(config=config, apply_pooling=pooling)


def test_it_is_taken_where_both_agree():
    same, other = model_with(lambda it: interpolated(it, 9)), model_with(lambda it: 2 * interpolated(it, 9))
    kept = other.apply_pooling
    for model in (same, other):
        fuse_pooling(model)
    assert other.apply_pooling is kept
    assert same.apply_pooling.__name__ == "apply_pooling"
    features = torch.randn(2, 81, 4)
    assert torch.equal(same.apply_pooling(features), interpolated(features, 9))


def test_models_without_one_stay_as_they_are():
    model = SimpleNamespace(config=SimpleNamespace())
    fuse_pooling(model)
    assert not hasattr(model, "apply_pooling")
