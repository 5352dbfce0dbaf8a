"""Which of torch's attention kernels reads: chosen by the form of a call, not by an order of torch's own.

That order differs with torch's version and the GPU. On a Hopper GPU cuDNN may come first, which builds a plan
for each length, and an answer has another length at each token; elsewhere a mask with grouped queries may
fall to plain products in float32. Kernels are called by name: torch's switches are of the whole program,
whose other threads attend as well. Whether one can serve, torch is asked, so that its switches count, and a
trial must bear it out. A processor has nothing to choose: torch is called as ever.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cuda
from torch.backends.cuda import SDPAParams
from torch.nn import functional as F
from torch.nn.attention import SDPBackend
from torch.nn.attention.bias import CausalBias, CausalVariant, causal_lower_right

log = logging.getLogger(__name__)
FLASH = SDPBackend.FLASH_ATTENTION
EFFICIENT = SDPBackend.EFFICIENT_ATTENTION
CUDNN = SDPBackend.CUDNN_ATTENTION
_FLASH_WIDTH = 8  # heads of other widths would have to be filled up
_ROW_BYTES = 16  # where rows of a mask begin elsewhere one kernel copies them, and another ends the program
_HIDDEN = -65504.0  # cuDNN wants it finite; 16 bits hold it, and no score comes near
_TRIED, _TRIED_OF = 5, 61
_NEAR = 2e-2
_WITH_FAST_MASKS = (9, 10)
"""Major compute capabilities on which torch itself may put cuDNN first. Under a mask of a fixed shape one
token takes an H200 16 microseconds a layer by the kernel that torch took there, by the packed one 24
(results/gpu_h200.json)."""


class Form(StrEnum):
    """How tokens are read."""

    CAUSAL = "a chunk or a question"
    ONE = "a token of an answer"
    MASKED = "texts under a mask"
    FIXED = "captured text under a mask"


class Call(NamedTuple):
    """What is read, and how.

    Attributes:
        form: of the call.
        queries: of tokens, [streams, heads, tokens, head_dim].
        keys: that they see, [streams, kv_heads, held, head_dim]; several heads of queries may share one of
            keys, of a single stream alone.
        values: likewise.
        added: to scores, [tokens, held] or with streams and heads before; None where there is no mask, and
            where it is causal.
    """

    form: Form
    queries: Tensor
    keys: Tensor
    values: Tensor
    added: Tensor | None = None


class Heads(NamedTuple):
    """What, beside lengths, a kernel may depend on.

    Attributes:
        device: where queries, keys and values are.
        dtype: of them.
        num_heads: of queries.
        num_kv_heads: of keys and values.
        head_dim: width of a head.
    """

    device: torch.device
    dtype: torch.dtype
    num_heads: int
    num_kv_heads: int
    head_dim: int


def attend(
    queries: Float[Tensor, "streams heads tokens head_dim"],
    keys: Float[Tensor, "streams kv_heads held head_dim"],
    values: Float[Tensor, "streams kv_heads held head_dim"],
    mask: Tensor | None,
    *,
    scaling: float,
    is_fixed: bool = False,
) -> Float[Tensor, "streams heads tokens head_dim"]:
    """Return what tokens read, by the first kernel of their form that can serve, else by torch's own choice.

    Args:
        queries: see ``Call``.
        keys: likewise.
        values: likewise.
        mask: which keys each token sees, or what is added to its scores; ``causal_lower_right`` where each
            sees those up to itself, the new ones last; None where all see all.
        scaling: of scores.
        is_fixed: the shape is one of few, so that a plan for it is worth it.
    """
    if queries.is_cuda:
        call = call_of(queries, keys, values, mask, is_fixed=is_fixed)
        if (kernel := chosen(call)) is not None:
            return read(call, kernel, scaling=scaling)
    shares = queries.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, scale=scaling, enable_gqa=shares
    )


def call_of(
    queries: Float[Tensor, "streams heads tokens head_dim"],
    keys: Float[Tensor, "streams kv_heads held head_dim"],
    values: Float[Tensor, "streams kv_heads held head_dim"],
    mask: Tensor | None,
    *,
    is_fixed: bool = False,
) -> Call:
    """Return the form of what is read, and the mask as kernels want it; see ``attend``."""
    if mask is None or isinstance(mask, CausalBias):
        return Call(Form.ONE if mask is None else Form.CAUSAL, queries, keys, values)
    form = Form.FIXED if is_fixed else Form.MASKED
    return Call(form, queries, keys, values, _added(mask, queries))


def kernels_for(form: Form, device: torch.device) -> tuple[SDPBackend, ...]:
    """Return the kernels that may read, the best first.

    Args:
        form: of the call.
        device: a GPU.
    """
    # Answers grow by a token: cuDNN would plan for each of their lengths. Flash knows no masks.
    if form in (Form.CAUSAL, Form.ONE):
        return FLASH, EFFICIENT
    return (CUDNN, EFFICIENT) if form is Form.FIXED and has_fast_masks(device) else (EFFICIENT,)


def has_fast_masks(device: torch.device) -> bool:
    """Tell whether a GPU reads one token under a mask faster than by the kernel for packed sequences."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] in _WITH_FAST_MASKS


def chosen(call: Call) -> SDPBackend | None:
    """Return the kernel that reads, by what torch says of each and a trial; None leaves it to torch.

    Raises:
        OutOfMemoryError: the device had no memory for the trial.
    """
    form, queries, keys, *_ = call
    heads = Heads(queries.device, queries.dtype, queries.shape[1], keys.shape[1], queries.shape[-1])
    kernels = kernels_for(form, queries.device)
    return next((one for one in kernels if _serves(one, call) and agrees(one, form, heads)), None)


@cache
def agrees(kernel: SDPBackend, form: Form, heads: Heads) -> bool:
    """Tell whether a kernel reads a few tokens as plain products on a processor do; it is tried once.

    A forward is tried before it is captured: in the runs that warm it up.

    Raises:
        OutOfMemoryError: the device had no memory for the trial; that says nothing of the kernel.
    """
    count, seed = 1 if form is Form.ONE else _TRIED, torch.Generator().manual_seed(0)
    device, width = heads.device, heads.head_dim
    shapes = ((1, heads.num_heads, count, width), *2 * ((1, heads.num_kv_heads, _TRIED_OF, width),))
    tensors = [torch.randn(*shape, generator=seed).to(heads.dtype) for shape in shapes]
    seen = torch.arange(_TRIED_OF) <= torch.arange(_TRIED_OF - count, _TRIED_OF)[:, None]
    masks: dict[Form, Tensor | CausalBias | None] = {
        Form.ONE: None,
        Form.CAUSAL: causal_lower_right(count, _TRIED_OF),
    }
    mask = masks.get(form, seen.to(device))
    queries, keys, values = (one.to(device) for one in tensors)
    call = call_of(queries, keys, values, mask, is_fixed=form is Form.FIXED)
    try:
        found = read(call, kernel, scaling=width**-0.5).cpu().float()
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        log.warning("%s does not read %s on %s, torch chooses: %s", _name(kernel), form.value, device, error)
        return False
    queries, keys, values = (one.float() for one in tensors)
    shares = heads.num_heads != heads.num_kv_heads
    expected = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen, enable_gqa=shares)
    is_near = torch.allclose(found, expected, rtol=_NEAR, atol=_NEAR)
    if not is_near:
        log.warning("%s reads %s wrongly on %s, torch chooses", _name(kernel), form.value, device)
    return is_near


def grouped(call: Call) -> Call:
    """Let heads of keys stand where streams do, and the query heads that share one where heads do.

    Keys and values are seen by each of these, and not copied, so that kernels serve that know no shared
    heads. Where no head is shared all stays where it is.
    """
    queries, keys, values, added = call.queries, call.keys, call.values, call.added
    if (num_kv_heads := keys.shape[1]) != queries.shape[1]:
        queries = queries[0].unflatten(0, (num_kv_heads, -1))
        keys, values = (one[0].unsqueeze(1).expand(-1, queries.shape[1], -1, -1) for one in (keys, values))
    if added is not None:
        added = added.expand(*queries.shape[:3], keys.shape[2])
    return Call(call.form, queries, keys, values, added)


def read(call: Call, kernel: SDPBackend, *, scaling: float) -> Float[Tensor, "streams heads tokens head_dim"]:
    """Return what tokens read by one of ``kernels_for`` its form.

    Args:
        call: what they read.
        kernel: that can serve it.
        scaling: of scores.
    """
    form, queries, keys, values, added = call
    if kernel is EFFICIENT:
        return _read_efficiently(grouped(call), scaling=scaling).reshape(queries.shape)
    output: Tensor
    if kernel is CUDNN:
        assert added is not None
        added = added.expand(1, 1, *added.shape[-2:])
        output, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(
            *(queries, keys, values, added, False), scale=scaling
        )
        return output
    output, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        *(queries, keys, values), is_causal=form is Form.CAUSAL, scale=scaling
    )
    return output


def kernels_told(
    device: torch.device, *, heads: int = 28, kv_heads: int = 4, head_dim: int = 128
) -> dict[str, str]:
    """Say which kernel reads each form in bfloat16, as ``attend`` chooses; nothing is read.

    Args:
        device: a GPU.
        heads: of queries.
        kv_heads: of keys and values.
        head_dim: width of a head.
    """
    held, found = 64, dict[str, str]()
    keys = torch.empty(1, kv_heads, held, head_dim, dtype=torch.bfloat16, device=device)
    for form in Form:
        queries = keys.new_empty(1, heads, 1 if form in (Form.ONE, Form.FIXED) else 8, head_dim)
        is_masked = form in (Form.MASKED, Form.FIXED)
        call = Call(form, queries, keys, keys, keys.new_zeros(queries.shape[2], held) if is_masked else None)
        kernel = chosen(call)
        found[form.value] = _left_to_torch(call) if kernel is None else _name(kernel)
    return found


def _left_to_torch(call: Call) -> str:
    mask = call.added
    if call.form is Form.CAUSAL:  # torch makes a matrix where no kernel knows the shape
        mask = call.queries.new_ones(call.queries.shape[2], call.keys.shape[2], dtype=torch.bool)
    choice = torch._fused_sdp_choice(call.queries, call.keys, call.values, attn_mask=mask, enable_gqa=True)
    return f"{_name(SDPBackend(choice))}, which torch chooses"


def _name(kernel: SDPBackend) -> str:
    return str(kernel.name).lower().removesuffix("_attention")


def _serves(kernel: SDPBackend, call: Call) -> bool:
    """Ask torch whether a kernel can serve a call."""
    if kernel is EFFICIENT:
        _, queries, keys, values, added = grouped(call)
        return cuda.can_use_efficient_attention(SDPAParams(queries, keys, values, added, 0.0, False, False))
    # Of a causal call too: flash lets the last query see the last key, which torch's switch does not mean.
    params = SDPAParams(call.queries, call.keys, call.values, call.added, 0.0, False, True)
    if kernel is CUDNN:
        return cuda.can_use_cudnn_attention(params)
    return call.queries.shape[-1] % _FLASH_WIDTH == 0 and cuda.can_use_flash_attention(params)


def _read_efficiently(call: Call, *, scaling: float) -> Float[Tensor, "streams heads tokens head_dim"]:
    output: Tensor
    output, *_ = torch.ops.aten._efficient_attention_forward(
        *(one.transpose(1, 2) for one in (call.queries, call.keys, call.values)),
        bias=call.added,
        cu_seqlens_q=None,
        cu_seqlens_k=None,
        max_seqlen_q=None,
        max_seqlen_k=None,
        dropout_p=0.0,
        custom_mask_type=int(CausalVariant.LOWER_RIGHT) if call.form is Form.CAUSAL else 0,
        scale=scaling,
    )
    return output.transpose(1, 2)


def _added(mask: Tensor, queries: Tensor) -> Tensor:
    """Return what a mask adds to scores, in the queries' dtype, rows beginning where kernels want it."""
    row_of = _ROW_BYTES // queries.element_size()
    begins = (mask.storage_offset(), *mask.stride()[:-1])
    if mask.dtype == queries.dtype and not any(place % row_of for place in begins):
        return mask
    held = mask.shape[-1]
    added = queries.new_empty(*mask.shape[:-1], -(-held // row_of) * row_of)[..., :held]
    return added.copy_(torch.where(mask, 0.0, _HIDDEN) if mask.dtype == torch.bool else mask)
