"""Qwen's vision towers: what they reckon of a grid of patches is made once, and windows are attended at once.

By themselves they reckon it for every chunk, read it back from a GPU, and attend window by window: for 16
pictures 22,000 kernels and 800 waits, which take longer than the work.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_stream.packed_kernel import Kernel, kernel_that

ATTENTION_NAME = "hermes_flash"  # transformers hands whole sequences to what is called flash
_MAX_PLANS = 8
_HALVES = (torch.bfloat16, torch.float16)

Grid = tuple[int, int, int]
Plan = dict[str, Any]


class PatchTower:
    """A vision tower of the family.

    Args:
        tower: transformers' vision tower, on its device.
    """

    def __init__(self, tower: Any) -> None:
        self._reckoned = lru_cache(maxsize=_MAX_PLANS)(partial(_reckon, tower))
        if (kernel := _window_kernel(tower)) is not None:
            _register(kernel)
            tower.config._attn_implementation = ATTENTION_NAME

    def plan(self, grid: Grid) -> Plan:
        """Return what the tower would reckon of a grid, as the arguments by which it takes it.

        Args:
            grid: temporal patches, and rows and columns of patches in each.
        """
        return dict(self._reckoned(grid))


def _reckon(tower: Any, grid: Grid) -> Plan:
    from transformers import vision_utils

    sizes, merge = torch.tensor([grid]), tower.spatial_merge_size
    plan: Plan = {
        "position_ids": vision_utils.get_vision_position_ids(sizes, merge),
        "cu_seqlens": vision_utils.get_vision_cu_seqlens(sizes),
        "max_seqlen": grid[1] * grid[2],
    }
    if hasattr(tower, "window_size"):
        windows = {"window_size": tower.window_size, "patch_size": tower.patch_size}
        index, ends = vision_utils.get_vision_window_index(sizes, spatial_merge_size=merge, **windows)
        plan |= {"window_index": index, "cu_window_seqlens": ends}
        plan["max_window_seqlen"] = int(ends.diff().max())
    if hasattr(tower, "num_grid_per_side"):
        plan["interp_indices"], plan["interp_weights"] = (
            vision_utils.get_vision_interpolation_indices_and_weights(
                sizes,
                num_grid_per_side=tower.num_grid_per_side,
                mode=tower.interpolation_mode,
                align_corners=tower.interpolation_align_corners,
                spatial_merge_size=tower.config.spatial_merge_size,
            )
        )
    device = tower.device
    # Cut into windows by the host, where a loop does that, they stay in host memory.
    is_cut = tower.config._attn_implementation != ATTENTION_NAME
    host = {"cu_seqlens", "cu_window_seqlens"} if is_cut else set()
    return {
        name: one.to(device) if isinstance(one, Tensor) and name not in host else one
        for name, one in plan.items()
    }


def _window_kernel(tower: Any) -> Kernel | None:
    """Return torch's kernel for packed sequences where it does on a tower's device what is asked of it."""
    if tower.dtype not in _HALVES:
        return None
    return kernel_that(
        partial(_agrees, tower.device, tower.dtype, tower.blocks[0].attn.head_dim), tower.device
    )


def _agrees(device: torch.device, dtype: torch.dtype, width: int, kernel: Kernel) -> bool:
    """Tell whether a kernel reads two windows as plain attention does."""
    seed, ends = torch.Generator().manual_seed(0), torch.tensor([0, 3, 8])
    asked, keys, values = torch.randn(3, 8, 2, width, generator=seed).to(device, dtype)
    found = _attend(kernel, asked, keys, values, ends=ends.to(device, torch.int32), longest=5)
    parts = (one.transpose(0, 1).tensor_split(ends[1:-1], dim=1) for one in (asked, keys, values))
    plain = [
        F.scaled_dot_product_attention(*(one[None] for one in part))[0] for part in zip(*parts, strict=True)
    ]
    return torch.allclose(found, torch.cat(plain, dim=1).transpose(0, 1), rtol=2e-2, atol=2e-2)


def _attend(
    kernel: Kernel,
    queries: Float[Tensor, "tokens heads head_dim"],
    keys: Float[Tensor, "tokens heads head_dim"],
    values: Float[Tensor, "tokens heads head_dim"],
    *,
    ends: Int[Tensor, " windows_and_one"],
    longest: int,
    scaling: float | None = None,
) -> Float[Tensor, "tokens heads head_dim"]:
    parts = (one.contiguous() for one in (queries, keys, values))
    output: Tensor = kernel(*parts, ends, ends, longest, longest, scale=scaling)
    return output


def _register(kernel: Kernel) -> None:
    """Make the attention known to transformers under its name."""
    from transformers import AttentionInterface

    def attend(
        module: nn.Module,  # noqa: ARG001
        query: Float[Tensor, "one heads tokens head_dim"],
        key: Float[Tensor, "one heads tokens head_dim"],
        value: Float[Tensor, "one heads tokens head_dim"],
        *,
        scaling: float,
        cu_seq_lens_q: Int[Tensor, " windows_and_one"],
        max_length_q: int,
        **_: Any,
    ) -> tuple[Float[Tensor, "one tokens heads head_dim"], None]:
        parts = (one[0].transpose(0, 1) for one in (query, key, value))
        output = _attend(kernel, *parts, ends=cu_seq_lens_q, longest=max_length_q, scaling=scaling)
        return output[None], None

    AttentionInterface.register(ATTENTION_NAME, attend)
