"""The kernel that reads many streams at once where there is one, chosen by trying it once on each device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)
Kernel = Callable[..., Any]


@cache
def packed_kernel(device: torch.device, dtype: torch.dtype, head_dim: int) -> Kernel | None:
    """Return ``torch.nn.attention.varlen``'s function where it does on this device what is asked of it.

    Args:
        device: where queries, keys and values are.
        dtype: of them.
        head_dim: width of a head.
    """
    if device.type != "cuda":
        return None  # a loop on a CPU loses nothing: it launches nothing
    try:
        from torch.nn.attention.varlen import varlen_attn

        if agrees(varlen_attn, device, dtype, head_dim):
            return varlen_attn
        log.warning(
            "packed attention differs from plain attention on %s; streams are read one by one", device
        )
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        log.info("no packed attention on %s: %s", device, error)
    return None


def agrees(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Tell whether a kernel reads two streams as plain attention does, with the arguments that it will get.

    Args:
        kernel: called as ``torch.nn.attention.varlen.varlen_attn``.
        device: see ``packed_kernel``.
        dtype: likewise.
        head_dim: likewise.
    """
    seed = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=seed).to(device, dtype)

    num_slots, lengths, held = 16, (3, 1), (9, 12)
    queries, keys, values = (random(*shape, head_dim) for shape in ((4, 4), (2, 2, 16), (2, 2, 16)))
    options = kernel_options(lengths, max(held), [0, 2 * num_slots], device)
    used = torch.tensor(held, dtype=torch.int32, device=device)
    shape, stride = (3 * num_slots, 2, head_dim), (head_dim, num_slots * head_dim, 1)
    rows = [one.as_strided(shape, stride) for one in (keys, values)]
    packed = kernel(queries, *rows, **options, seqused_k=used, scale=head_dim**-0.5)
    plain = []
    for k, part in enumerate(queries.split(lengths)):
        seen = torch.ones(lengths[k], held[k], dtype=torch.bool, device=device).tril(held[k] - lengths[k])
        own = (part.transpose(0, 1), keys[k, :, : held[k]], values[k, :, : held[k]])
        asked, mine, read = (one.float() for one in own)
        one = F.scaled_dot_product_attention(asked, mine, read, attn_mask=seen, enable_gqa=True)
        plain.append(one.transpose(0, 1))
    return torch.allclose(packed.float(), torch.cat(plain), rtol=2e-2, atol=2e-2)


def kernel_options(
    lengths: tuple[int, ...], longest: int, starts: list[int], device: torch.device
) -> dict[str, Any]:
    """Return what the kernel is told of segments, but how many tokens each stream holds.

    Args:
        lengths: of the segments, in tokens.
        longest: tokens that a stream holds at most.
        starts: row of keys where each segment's stream begins.
        device: where the kernel runs.
    """
    ends = torch.tensor((0, *lengths)).cumsum(0)
    # Each stream ends where ``seqused_k`` says, so that what stands last here is not read.
    first_keys = torch.tensor([*starts, max(starts) + longest])
    return {
        "cu_seq_q": ends.to(device, torch.int32),
        "cu_seq_k": first_keys.to(device, torch.int32),
        "max_q": max(lengths),
        "max_k": longest,
        "window_size": (-1, 0),
        "enable_gqa": True,
    }
