"""Fused norms are the family's own to rounding; a norm of another formula is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from hermes_stream.models.loading.norms import fuse_norms


def holding(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), norm).requires_grad_(False).eval()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_the_same_numbers_and_names(dtype, tolerance):
    norm = Qwen2RMSNorm(16).to(dtype)
    norm.weight.data.uniform_(0.5, 2)
    decoder = holding(norm)
    names = decoder.state_dict().keys()
    fuse_norms(decoder)
    assert isinstance(decoder[1], nn.RMSNorm)
    assert decoder.state_dict().keys() == names
    assert decoder[1].weight is norm.weight
    numbers = torch.randn(5, 16).to(dtype)
    torch.testing.assert_close(decoder[1](numbers), norm(numbers), rtol=tolerance, atol=tolerance)


def test_another_formula_stays():
    norm = GemmaRMSNorm(16)  # scales by 1 plus its weight
    norm.variance_epsilon = norm.eps
    decoder = holding(norm)
    fuse_norms(decoder)
    assert decoder[1] is norm
