"""Attention as a GPU's kernels read it, and what each of them does not take."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def _read(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    scale: float | None,
    added: Tensor | None,
    is_causal: bool,
) -> tuple[Tensor, Tensor]:
    """Return what heads read, and the logarithm of what their scores sum up to.

    Args:
        queries: [..., heads, tokens, head_dim].
        keys: [..., kv_heads, held, head_dim].
        values: likewise.
        scale: of scores.
        added: to scores.
        is_causal: the last query sees the last key, the one before it one less.
    """
    shares = queries.shape[-3] // keys.shape[-3]
    keys, values = (one.repeat_interleave(shares, dim=-3).float() for one in (keys, values))
    scores = queries.float() @ keys.transpose(-1, -2) * (scale or queries.shape[-1] ** -0.5)
    count, held = scores.shape[-2:]
    if is_causal:
        later = torch.ones(count, held, dtype=torch.bool).triu(held - count + 1)
        scores = scores.masked_fill(later, -torch.inf)
    if added is not None:
        scores = scores + added.float()
    return (scores.softmax(-1) @ values).to(queries.dtype), scores.logsumexp(-1)


def _want(what: str, is_so: bool) -> None:
    if not is_so:
        raise RuntimeError(f"the kernel takes no {what}")


def _want_half(tensors: Iterable[Tensor], widest: int) -> None:
    for one in tensors:
        _want(f"heads of {one.dtype}", one.dtype in HALF)
        _want(f"heads that are {one.shape[-1]} wide", not one.shape[-1] % 8 and one.shape[-1] <= widest)
        _want("rows that are spread", one.stride(-1) == 1)


def flash(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Any, ...]:
    _want_half((queries, keys, values), 256)
    read = _read(queries, keys, values, scale=scale, added=None, is_causal=is_causal)
    return (*read, None, None, queries.shape[2], keys.shape[2], None, None, None)


def cudnn(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Any, ...]:
    _want_half((queries, keys, values), 128)
    if bias is not None:
        _want(
            f"bias of {bias.dtype} and {bias.dim()} dimensions",
            (bias.dtype, bias.dim()) == (queries.dtype, 4),
        )
        _want("bias that is infinite", bool(bias.isfinite().all()))
    read = _read(queries, keys, values, scale=scale, added=bias, is_causal=is_causal)
    return (*read, None, None, queries.shape[2], keys.shape[2], None, None, None)


def efficient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    cu_seqlens_q: Tensor | None,
    cu_seqlens_k: Tensor | None,
    max_seqlen_q: int | None,
    max_seqlen_k: int | None,
    dropout_p: float,
    custom_mask_type: int,
    compute_log_sumexp: bool = False,
    *,
    scale: float | None = None,
    seqlen_k: Tensor | None = None,
    window_size: int | None = None,
) -> tuple[Any, ...]:
    _want("packed sequences here", cu_seqlens_q is None)
    _want("heads that are shared", query.shape[2] == key.shape[2] == value.shape[2])
    row_of = 16 // query.element_size()
    for one in (query, key, value):
        _want("rows that are spread", one.stride(-1) == 1)
        _want("rows that begin elsewhere", not any(step % row_of for step in one.stride()[:-1]))
    if bias is not None:
        shape = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
        _want(f"bias of {bias.dtype}, {tuple(bias.shape)}", (bias.dtype, bias.shape) == (query.dtype, shape))
        begins = (bias.storage_offset(), *bias.stride()[:-1])
        _want("bias whose rows begin elsewhere", bias.stride(-1) == 1 and not any(k % row_of for k in begins))
    _want(f"mask type {custom_mask_type}", custom_mask_type in (0, 2))
    queries, keys, values = (one.transpose(1, 2) for one in (query, key, value))
    read, sums = _read(queries, keys, values, scale=scale, added=bias, is_causal=custom_mask_type == 2)
    return (read.transpose(1, 2).contiguous(), sums, None, None, query.shape[1], key.shape[1])


def packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cum_seq_q: Tensor,
    cum_seq_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
    seqused_k: Tensor | None = None,
    **_: Any,
) -> tuple[Any, ...]:
    """Read sequences [tokens, heads, head_dim]; rows of none are not written, and no keys sum up to inf."""
    _want_half((query, key, value), 256)
    sizes = [one for one in (cum_seq_q, cum_seq_k, seqused_k) if one is not None]
    _want("sizes of other numbers", all(one.dtype == torch.int32 for one in sizes))
    _want(
        "sizes of other sequences",
        len({len(cum_seq_q), len(cum_seq_k), *(len(one) + 1 for one in sizes[2:])}) == 1,
    )
    output = torch.full(query.shape, torch.nan, dtype=query.dtype)
    sums = torch.full((query.shape[1], len(query)), torch.inf)
    starts = cum_seq_k.tolist()
    helds = [stop - start for start, stop in pairwise(starts)] if seqused_k is None else seqused_k.tolist()
    for (first, last), start, held in zip(pairwise(cum_seq_q.tolist()), starts, helds, strict=False):
        _want(f"sequence of {last - first} tokens that read {held}", last - first <= max_q and held <= max_k)
        _want("keys behind the end", start + held <= len(key))
        if last == first or not held:
            output[first:last] = 0
            continue
        own = (query[first:last], key[start : start + held], value[start : start + held])
        queries, keys, values = (one.transpose(0, 1) for one in own)
        read, rows = _read(queries, keys, values, scale=scale, added=None, is_causal=is_causal)
        output[first:last], sums[:, first:last] = read.transpose(0, 1), rows
    return output, sums, torch.zeros(2), torch.zeros(0), torch.zeros(0)


def varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    scale: float | None = None,
    window_size: Iterable[int] | None = None,
    enable_gqa: bool = False,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    window = (-1, -1) if window_size is None else tuple(window_size)
    _want(f"window {window} here", window in ((-1, 0), (-1, -1)))
    is_causal = is_causal or window == (-1, 0)
    sizes = (cu_seq_q, cu_seq_k, max_q, max_k)
    read, sums, *_ = packed(query, key, value, *sizes, is_causal=is_causal, scale=scale, seqused_k=seqused_k)
    return read, sums, torch.zeros(2, dtype=torch.uint64)


KERNELS = {
    "_scaled_dot_product_flash_attention": flash,
    "_scaled_dot_product_cudnn_attention": cudnn,
    "_efficient_attention_forward": efficient,
    "_flash_attention_forward": packed,
    "_varlen_attn": varlen,
    "_fused_sdp_choice": lambda *_, **__: 0,  # plain products, where torch is left to choose
}
"""By operation."""
