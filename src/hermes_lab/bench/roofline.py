"""The roofline: the least time that a device takes for a model's work.

It is the bytes that must be read over the memory bandwidth that the device shows here and now, or the
operations over its matrix throughput, whichever takes longer. Both speeds are the best of several tries, so
that the roofline errs towards promising too much.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hermes_lab.bench.workload import Workload
from hermes_stream.models.base import VideoModel
from hermes_stream.stream.stats import synchronize

_MAX_BUFFER_BYTES = 2**30
_MIN_BUFFER_BYTES = 2**22
_TRY_SECONDS = 0.4
_LAUNCHES_PER_TRY = 10
_MATRIX_SIZES = {"cuda": (4096, 8192), "cpu": (512, 1024)}


class Cost(NamedTuple):
    """What a piece of work must read and compute."""

    num_bytes: float
    operations: float

    def plus(self, other: Cost) -> Cost:
        """Return the cost of both."""
        return Cost(self.num_bytes + other.num_bytes, self.operations + other.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The speed of a device, and the sizes of a model from which its work follows.

    Attributes:
        memory_bytes_per_second: read from a buffer as large as the weights, 1 GiB at most; small weights stay
            in the processor's caches, and so does the buffer.
        operations_per_second: multiplications and additions of square matrices in the model's dtype.
        buffer_bytes: of that buffer.
        weight_bytes: of the decoder and the head, which every forward reads; embeddings are looked up.
        decoder_parameters: of the decoder's matrices, embeddings aside.
        head_parameters: of the head.
        attention_operations: of one query token with one key, over all heads and layers.
        kv_bytes_per_token: key and value of one token as attention reads them, over all layers.
        buffer_bytes_per_token: that one token takes in a stream's buffers.
        encode_operations: of one frame in the vision tower and the projector, counted while they run.
        tokens_per_picture: visual tokens of one frame; frames share those of their temporal patch.
    """

    memory_bytes_per_second: float
    operations_per_second: float
    buffer_bytes: int
    weight_bytes: int
    decoder_parameters: int
    head_parameters: int
    attention_operations: int
    kv_bytes_per_token: int
    buffer_bytes_per_token: int
    encode_operations: float
    tokens_per_picture: float

    def seconds(self, cost: Cost) -> float:
        """Return the least time for a cost."""
        # Reading and computing may overlap, so that only the longer one counts.
        return max(
            cost.num_bytes / self.memory_bytes_per_second, cost.operations / self.operations_per_second
        )

    def forward(self, new_tokens: float, held_tokens: float, *, with_logits: bool = True) -> Cost:
        """Return the cost of new tokens that attend to held ones, and causally to each other.

        Args:
            new_tokens: that enter the decoder.
            held_tokens: whose keys and values are read.
            with_logits: whether the head runs on the last token.
        """
        pairs = new_tokens * (held_tokens + (new_tokens + 1) / 2)
        products = self.decoder_parameters * new_tokens + self.head_parameters * with_logits
        return Cost(
            num_bytes=self.weight_bytes + self.kv_bytes_per_token * (held_tokens + new_tokens),
            operations=2 * products + self.attention_operations * pairs,
        )

    def ingest(self, num_frames: float, held_tokens: float) -> Cost:
        """Return the cost of encoding frames and prefilling their tokens, the tower's weights aside."""
        prefill = self.forward(num_frames * self.tokens_per_picture, held_tokens, with_logits=False)
        return prefill.plus(Cost(num_bytes=0, operations=num_frames * self.encode_operations))


def measure_roofline(model: VideoModel, workload: Workload, *, kv_bits: int | None = None) -> Roofline:
    """Measure the model's device, and count the model's work while it encodes one temporal patch.

    Args:
        model: a loaded model.
        workload: its first frames are encoded.
        kv_bits: 8 where keys and values are kept in 8 bits.
    """
    layout, num_frames = model.layout, model.card.frames_per_temporal_patch
    buffered = replace(layout, kv_bits=8) if kv_bits else layout
    kv_size = 2 * layout.num_layers * layout.num_kv_heads * layout.head_dim
    embeddings: nn.Module = model.decoder.embed_tokens  # type: ignore[assignment]
    looked_up = {id(weight) for weight in embeddings.parameters()}
    read = [weight for weight in model.decoder.parameters() if id(weight) not in looked_up]
    head = list(model.head.parameters())
    weight_bytes = sum(weight.nbytes for weight in (*read, *head))
    num_heads: int = model.decoder.config.num_attention_heads  # type: ignore[union-attr, assignment]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        frames = workload.frames(0, num_frames)
        features = model.encode(model.prepare(frames))
        visual = model.lay_out(features, frames, start_seconds=0.0, num_patches_before=0)
    bandwidth, buffer_bytes = _measure_bandwidth(layout.device, weight_bytes)
    return Roofline(
        memory_bytes_per_second=bandwidth,
        operations_per_second=_measure_throughput(layout.device, layout.dtype),
        buffer_bytes=buffer_bytes,
        weight_bytes=weight_bytes,
        decoder_parameters=sum(weight.numel() for weight in read if weight.dim() > 1),
        head_parameters=sum(weight.numel() for weight in head),
        attention_operations=4 * layout.num_layers * num_heads * layout.head_dim,
        kv_bytes_per_token=buffered.bytes_per_token if kv_bits else kv_size * layout.dtype.itemsize,
        buffer_bytes_per_token=buffered.bytes_per_token,
        encode_operations=counter.get_total_flops() / num_frames,
        tokens_per_picture=len(visual) / num_frames,
    )


def _measure_bandwidth(device: torch.device, weight_bytes: int) -> tuple[float, int]:
    """Return bytes per second of summing or copying a buffer as large as the weights, and its bytes."""
    size = min(max(weight_bytes, _MIN_BUFFER_BYTES), _MAX_BUFFER_BYTES) // 8
    buffer, target = (torch.zeros(size, dtype=torch.int64, device=device) for _ in range(2))
    sum_seconds = _best_seconds(buffer.view(torch.float32).sum, device)
    copy_seconds = _best_seconds(lambda: target.copy_(buffer), device)
    return max(buffer.nbytes / sum_seconds, 2 * buffer.nbytes / copy_seconds), buffer.nbytes


def _measure_throughput(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations per second of multiplying square matrices."""
    rates = []
    for side in _MATRIX_SIZES.get(device.type, _MATRIX_SIZES["cpu"]):
        left, right, out = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(3))
        multiply = partial(torch.mm, left, right, out=out)
        rates.append(2 * side**3 / _best_seconds(multiply, device))
    return max(rates)


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a piece of work after a warm-up."""
    work()
    # One launch on a GPU costs as much as a short kernel; several share the wait for the device.
    count = 1 if device.type == "cpu" else _LAUNCHES_PER_TRY
    best, until = float("inf"), time.perf_counter() + _TRY_SECONDS
    while time.perf_counter() < until:
        synchronize(device)
        began = time.perf_counter()
        for _ in range(count):
            work()
        synchronize(device)
        best = min(best, (time.perf_counter() - began) / count)
    return best
