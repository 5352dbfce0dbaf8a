"""The least time that a device takes for a model's work: what it must read, and what it must multiply.

A floor is weight and cache bytes over the memory bandwidth that the device shows here and now, or operations
over its matrix throughput, whichever is longer. Both speeds are the best of several tries, so that a floor is
low rather than high.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hermes_lab.bench.generated_frames import Footage
from hermes_stream.models.base import VideoModel

_MOST_BUFFER_BYTES = 2**30
_LEAST_BUFFER_BYTES = 2**22
_TRY_SECONDS = 0.4
_LAUNCHES = 10
_MATRIX_SIZES = {"cuda": (4096, 8192), "cpu": (512, 1024)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpeed:
    """What a device shows.

    Attributes:
        memory_bytes_per_second: read from a buffer as large as the weights, 1 GiB at most; small weights stay
            in the processor's caches, and so does the buffer.
        operations_per_second: multiplications and additions of square matrices in the model's dtype.
        buffer_bytes: of that buffer.
    """

    memory_bytes_per_second: float
    operations_per_second: float
    buffer_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What must be read and computed."""

    num_bytes: float = 0.0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Return both."""
        return Work(num_bytes=self.num_bytes + other.num_bytes, operations=self.operations + other.operations)

    def seconds(self, speed: DeviceSpeed) -> float:
        """Return the floor: reading and computing may overlap, so that the longer one counts."""
        return max(
            self.num_bytes / speed.memory_bytes_per_second, self.operations / speed.operations_per_second
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What a model's work takes, by its sizes.

    Attributes:
        weight_bytes: of the decoder and the head, which every forward reads; embeddings are looked up.
        decoder_parameters: of the decoder's matrices, embeddings aside.
        head_parameters: of the head.
        attention_operations: of one query token with one key, over all heads and layers.
        kv_bytes_per_token: key and value of one token as attention reads them, over all layers.
        buffer_bytes_per_token: that one token takes in a stream's buffers.
        encode_operations: of one picture in the vision tower and the projector, counted as they run.
        tokens_per_picture: that a picture takes in the memory; a temporal patch is shared by its pictures.
    """

    weight_bytes: int
    decoder_parameters: int
    head_parameters: int
    attention_operations: int
    kv_bytes_per_token: int
    buffer_bytes_per_token: int
    encode_operations: float
    tokens_per_picture: float

    def forward(self, new_tokens: float, held_tokens: float, *, reads_logits: bool = True) -> Work:
        """Return the work of new tokens that see held ones, and each other causally.

        Args:
            new_tokens: that enter the decoder.
            held_tokens: whose keys and values are read.
            reads_logits: of the last token.
        """
        pairs = new_tokens * (held_tokens + (new_tokens + 1) / 2)
        products = self.decoder_parameters * new_tokens + self.head_parameters * reads_logits
        return Work(
            num_bytes=self.weight_bytes + self.kv_bytes_per_token * (held_tokens + new_tokens),
            operations=2 * products + self.attention_operations * pairs,
        )

    def watch(self, num_pictures: float, held_tokens: float) -> Work:
        """Return the work of encoding pictures and prefilling their tokens, the tower's weights aside."""
        tokens = num_pictures * self.tokens_per_picture
        return Work(operations=num_pictures * self.encode_operations) + self.forward(
            tokens, held_tokens, reads_logits=False
        )


def measure_cost(model: VideoModel, footage: Footage, *, kv_bits: int | None = None) -> ModelCost:
    """Count a model's work; one frame is encoded for it.

    Args:
        model: loaded.
        footage: whose pictures are encoded.
        kv_bits: 8 where keys and values are kept in 8 bits.
    """
    layout, together = model.layout, model.card.frames_per_temporal_patch
    buffered = replace(layout, kv_bits=8) if kv_bits else layout
    numbers = 2 * layout.num_layers * layout.num_kv_heads * layout.head_dim
    embeddings: nn.Module = model.decoder.embed_tokens  # type: ignore[assignment]
    looked_up = {id(weight) for weight in embeddings.parameters()}
    own = [weight for weight in model.decoder.parameters() if id(weight) not in looked_up]
    head = list(model.head.parameters())
    num_heads: int = model.decoder.config.num_attention_heads  # type: ignore[union-attr, assignment]
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        frames = footage.frames(0, together)
        features = model.encode(model.prepare(frames))
        visual = model.lay_out(features, frames, start_seconds=0.0, num_patches_before=0)
    return ModelCost(
        weight_bytes=sum(weight.nbytes for weight in (*own, *head)),
        decoder_parameters=sum(weight.numel() for weight in own if weight.dim() > 1),
        head_parameters=sum(weight.numel() for weight in head),
        attention_operations=4 * layout.num_layers * num_heads * layout.head_dim,
        kv_bytes_per_token=buffered.bytes_per_token if kv_bits else numbers * layout.dtype.itemsize,
        buffer_bytes_per_token=buffered.bytes_per_token,
        encode_operations=counted.get_total_flops() / together,
        tokens_per_picture=len(visual) / together,
    )


def measure_speed(device: torch.device, dtype: torch.dtype, *, weight_bytes: int) -> DeviceSpeed:
    """Measure a device's memory bandwidth and matrix throughput.

    Args:
        device: where the model is.
        dtype: of the model.
        weight_bytes: how much a forward reads.
    """
    size = min(max(weight_bytes, _LEAST_BUFFER_BYTES), _MOST_BUFFER_BYTES) // 8
    buffer, target = (torch.zeros(size, dtype=torch.int64, device=device) for _ in range(2))
    numbers = buffer.view(torch.float32)
    rates = [
        buffer.nbytes / _best_seconds(numbers.sum, device),
        2 * buffer.nbytes / _best_seconds(lambda: target.copy_(buffer), device),
    ]
    del target
    products = []
    for side in _MATRIX_SIZES.get(device.type, _MATRIX_SIZES["cpu"]):
        left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        products.append(2 * side**3 / _best_seconds(_product(left, right), device))
    return DeviceSpeed(
        memory_bytes_per_second=max(rates), operations_per_second=max(products), buffer_bytes=buffer.nbytes
    )


def _product(left: torch.Tensor, right: torch.Tensor) -> Callable[[], torch.Tensor]:
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out)


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a piece of work, after a warm-up; several at a time where launches cost."""
    work()
    count = 1 if device.type == "cpu" else _LAUNCHES
    best, until = float("inf"), time.perf_counter() + _TRY_SECONDS
    while time.perf_counter() < until:
        synchronize(device)
        began = time.perf_counter()
        for _ in range(count):
            work()
        synchronize(device)
        best = min(best, (time.perf_counter() - began) / count)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
