"""Root-mean-square norms as one kernel instead of six: torch's own, with a family's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_TOLERANCE = 0.02  # of bfloat16, where a family rounds once more on the way


def fuse_norms(model: nn.Module) -> None:
    """Replace a model's norms by torch's where both compute the same. Weights and their names stay.

    A norm that is placed by accelerate keeps its hooks and is left alone.

    Args:
        model: transformers' model, loaded by us and nobody else's.
    """
    is_same: dict[type[nn.Module], bool] = {}
    for parent in model.modules():
        for name, norm in parent.named_children():
            fused = None if hasattr(norm, "_hf_hook") else _fused(norm)
            if fused is None:
                continue
            if type(norm) not in is_same:
                is_same[type(norm)] = _agree(norm, fused)
            if is_same[type(norm)]:
                parent.add_module(name, fused)


def _fused(norm: nn.Module) -> nn.RMSNorm | None:
    """Return torch's norm with the weight of a family's; None for what looks like none."""
    weight, eps = getattr(norm, "weight", None), getattr(norm, "variance_epsilon", None)
    if not isinstance(weight, nn.Parameter) or weight.is_meta or not isinstance(eps, float):
        return None
    fused = nn.RMSNorm(tuple(weight.shape), eps=eps, device="meta")
    fused.weight = weight
    return fused.train(norm.training)


@torch.no_grad()
def _agree(norm: nn.Module, fused: nn.RMSNorm) -> bool:
    """Tell whether both make the same of some numbers: other families scale by 1 plus their weight."""
    weight = fused.weight
    numbers: Tensor = torch.linspace(-3, 2, weight.numel(), device=weight.device).to(weight.dtype)
    return torch.allclose(norm(numbers).float(), fused(numbers).float(), rtol=_TOLERANCE, atol=_TOLERANCE)
