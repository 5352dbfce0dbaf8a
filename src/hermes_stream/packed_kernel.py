"""The kernel that reads many streams at once where there is one, chosen by trying it once on each device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.memory.constants import sent

log = logging.getLogger(__name__)
Kernel = Callable[..., Any]
SummingKernel = Callable[..., tuple[Tensor, Tensor]]
CAUSAL = (-1, 0)
ALL = (-1, -1)
"""What a token sees of its stream, as the kernel is told: all up to itself, or all."""


@cache
def packed_kernel(device: torch.device, dtype: torch.dtype, head_dim: int) -> Kernel | None:
    """Return ``torch.nn.attention.varlen``'s function, or what it is made of, where it does what it should.

    Args:
        device: where queries, keys and values are.
        dtype: of them.
        head_dim: width of a head.
    """
    return kernel_that(lambda kernel: agrees(kernel, device, dtype, head_dim), device)


@cache
def summing_kernel(device: torch.device, dtype: torch.dtype, head_dim: int) -> SummingKernel | None:
    """Return a kernel that also tells the logarithm of what each row's scores sum up to, where it is right.

    Args:
        device: where queries, keys and values are.
        dtype: of them.
        head_dim: width of a head.
    """
    return kernel_that(lambda _: _sums_agree(device, dtype, head_dim), device, [_flash_with_sums])


def _flash_with_sums(
    queries: Float[Tensor, "queries heads head_dim"],
    keys: Float[Tensor, "rows kv_heads head_dim"],
    values: Float[Tensor, "rows kv_heads head_dim"],
    *sizes: Any,
    used: Tensor | None,
    is_causal: bool,
    scale: float,
) -> tuple[Float[Tensor, "queries heads head_dim"], Float[Tensor, "heads queries"]]:
    output, sums, *_ = torch.ops.aten._flash_attention_forward(
        *(queries, keys, values, *sizes),
        dropout_p=0.0,
        is_causal=is_causal,
        return_debug_mask=False,
        scale=scale,
        seqused_k=used,
    )
    return output, sums


def _sums_agree(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Tell whether two parts of a sequence, weighed by their sums, are what plain attention reads of it."""
    seed = torch.Generator().manual_seed(0)
    shapes = ((4, 2, head_dim), (14, 2, head_dim), (14, 2, head_dim))
    queries, keys, values = (torch.randn(*one, generator=seed).to(device, dtype) for one in shapes)
    numbers: dict[str, Any] = {"dtype": torch.int32, "device": device}
    copies, starts, used = (torch.tensor(one, **numbers) for one in ([0, 4, 8], [0, 9, 14], [9, 3]))
    output, sums = _flash_with_sums(
        *(queries.repeat(2, 1, 1), keys, values, copies, starts, 4, 9),
        used=used,
        is_causal=False,
        scale=head_dim**-0.5,
    )
    share = sums.view(2, 2, 4).softmax(dim=1).permute(1, 2, 0)[..., None]
    found = (output.view(2, 4, 2, head_dim) * share).sum(dim=0)
    asked, read, given = (one.transpose(0, 1).float() for one in (queries, keys[:12], values[:12]))
    expected = F.scaled_dot_product_attention(asked, read, given).transpose(0, 1)
    return torch.allclose(found.float(), expected, rtol=2e-2, atol=2e-2)


def kernel_that(
    agrees: Callable[[Kernel], bool], device: torch.device, kernels: Iterable[Kernel] | None = None
) -> Kernel | None:
    """Return the first kernel for packed sequences that agrees with plain attention; None where none does.

    Args:
        agrees: tries a kernel, with the arguments that it will get.
        device: where it is to run.
        kernels: to choose from; None takes those that read many streams.

    Raises:
        OutOfMemoryError: the device had no memory for the trial.
    """
    if device.type != "cuda":
        return None  # a loop on a CPU loses nothing: it launches nothing
    for kernel in _kernels() if kernels is None else kernels:
        try:
            if agrees(kernel):
                return kernel
            log.warning("packed attention differs from plain attention on %s, and is not used", device)
        except torch.OutOfMemoryError:
            raise  # that says nothing of the kernel: it is tried again, where there is memory
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            log.info("no packed attention on %s: %s", device, error)
    return None


def _kernels() -> Iterator[Kernel]:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError as error:
        log.info("no packed attention: %s", error)
        return
    yield varlen_attn
    yield _flash


def _flash(queries: Tensor, keys: Tensor, values: Tensor, **options: Any) -> Tensor:
    """Do as ``varlen_attn``, which in torch 2.11 does not hand ``seqused_k`` down."""
    sizes = (options[name] for name in ("cu_seq_q", "cu_seq_k", "max_q", "max_k"))
    how = {"used": options["seqused_k"], "scale": options["scale"]}
    is_causal = options["window_size"] == CAUSAL
    return _flash_with_sums(queries, keys, values, *sizes, is_causal=is_causal, **how)[0]


def agrees(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Tell whether a kernel reads two streams as plain attention does, with the arguments that it will get.

    Args:
        kernel: called as ``torch.nn.attention.varlen.varlen_attn``.
        device: see ``packed_kernel``.
        dtype: likewise.
        head_dim: likewise.
    """
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    return all(_agrees(kernel, lengths, head_dim, **where) for lengths in ((3, 1), (1, 1)))


def _agrees(
    kernel: Kernel, lengths: tuple[int, int], head_dim: int, *, device: torch.device, dtype: torch.dtype
) -> bool:
    seed = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=seed).to(device, dtype)

    num_slots, held = 16, (9, 12)
    shapes = ((sum(lengths), 4), (2, 2, num_slots), (2, 2, num_slots))
    queries, keys, values = (random(*shape, head_dim) for shape in shapes)
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
        "cu_seq_q": sent(ends.int(), device),
        "cu_seq_k": sent(first_keys.int(), device),
        **shape_options(max(lengths), longest),
    }


def shape_options(longest_text: int, longest: int) -> dict[str, Any]:
    """Return what the kernel is told of sizes.

    Args:
        longest_text: tokens of a segment, at most.
        longest: tokens that a stream holds, at most.
    """
    return {
        "max_q": longest_text,
        "max_k": longest,
        # One token is the last of its stream. Told to see all, it is read in parts that run side by side.
        "window_size": CAUSAL if longest_text > 1 else ALL,
        "enable_gqa": True,
    }
