"""Question and answer tokens through forwards of fixed shape, which a GPU captures once and replays.

A shape is so many texts of so many tokens, of streams in one block; one that fits no shape is padded. Where
the tokens go is said in tensors, not in code. Where nothing is captured the same forwards run one operation
at a time, with the same numbers.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.blocks import BufferBlock
from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache
from hermes_stream.fixed_text import FixedText, forward_fixed
from hermes_stream.models.base import VideoModel
from hermes_stream.packed_kernel import packed_kernel
from hermes_stream.segments import Segment
from hermes_stream.stream.work import ForwardRequest

log = logging.getLogger(__name__)
LENGTHS = (1, 32, 128)
_MAX_REPLAYS = 4  # at one time; more texts go through one ordinary forward, which reads the weights once
_WARM_UPS = 2
Shape = tuple[int, int]
"""Texts, and tokens of each."""


def text_graphs(model: VideoModel) -> TextGraphs | None:
    """Return what captures a model's forwards of text; None where there is no one GPU that could."""
    layout = model.layout
    is_one_gpu = layout.device.type == "cuda" and not layout.layer_devices
    return TextGraphs(model, captures=True) if is_one_gpu else None


class TextGraphs:
    """The forwards of question and answer tokens, for each block its own, since they know where it lies.

    Args:
        model: a loaded model, on one device.
        captures: record each forward as a CUDA graph; False only runs it.
    """

    def __init__(self, model: VideoModel, *, captures: bool) -> None:
        self._model, self._captures = model, captures
        self._pool = torch.cuda.graph_pool_handle() if captures else None
        self._forwards: WeakKeyDictionary[BufferBlock, dict[Shape, _Forward]] = WeakKeyDictionary()

    def prepare(self, cache: StreamCache) -> None:
        """Capture the forwards of a new stream before its first question comes, so that none waits for it."""
        if (block := _block_of(cache)) is None:
            return
        together = (_num_texts(block.tensor.shape[1] - block.num_free), 1)
        for shape in {(1, length): None for length in LENGTHS} | {together: None}:
            if max(cache.num_tokens) + shape[1] < block.tensor.shape[4] and _can_serve(block, shape):
                nothing = torch.zeros(self._model.layout.rotary.num_axes, 0, dtype=torch.long)
                self._forward(block, shape, caches=[cache], counts=[0], positions=nothing)

    def serve(self, requests: Iterable[ForwardRequest]) -> dict[ForwardRequest, Float[Tensor, " vocabulary"]]:
        """Return the logits of the token that follows each text, for those that fixed shapes serve.

        Args:
            requests: of one or several streams; ``append`` has reserved the slots of their segments.
        """
        tokens, texts = defaultdict[BufferBlock, list[ForwardRequest]](list), list[list[ForwardRequest]]()
        for one in requests:
            if (block := _block_of_text(one)) is not None:
                together = len(one.segments[0].embeddings) == 1 and _can_serve(block, (2, 1))
                if together:
                    tokens[block].append(one)
                else:
                    texts.append([one])
        batches = sorted([*tokens.values(), *texts], key=len, reverse=True)[:_MAX_REPLAYS]
        results: dict[ForwardRequest, Tensor] = {}
        for batch in batches:
            logits = self._logits([one.segments[0] for one in batch])
            results |= {} if logits is None else dict(zip(batch, logits, strict=True))
        return results

    def _logits(self, segments: Sequence[Segment]) -> Float[Tensor, "texts vocabulary"] | None:
        """Run texts of one block, single tokens if there are several; None where no shape has room."""
        caches = [segment.cache for segment in segments if isinstance(segment.cache, StreamCache)]
        (block,) = {_block_of(cache) for cache in caches}
        assert block is not None
        count, num_slots = len(segments[0].embeddings), block.tensor.shape[4]
        start = max(max(cache.num_tokens) for cache in caches) - count
        length = next((length for length in LENGTHS if count <= length <= num_slots - start), None)
        shape = (_num_texts(len(segments)), length or 0)
        has_room = shape[0] == len(segments) or start + count < num_slots
        if length is None or not has_room:
            return None
        counts = [len(segment.embeddings) for segment in segments]
        positions = torch.cat([segment.positions for segment in segments], dim=1)
        own = self._forward(block, shape, caches=caches, counts=counts, positions=positions)
        return own.run(torch.cat([segment.embeddings for segment in segments]), len(segments))

    def _forward(
        self,
        block: BufferBlock,
        shape: Shape,
        *,
        caches: Sequence[StreamCache],
        counts: Sequence[int],
        positions: Int[Tensor, "axes tokens"],
    ) -> _Forward:
        """Return a forward, told where texts stand.

        It is made at its first use. One that the device cannot capture runs uncaptured.
        """
        own = self._forwards.setdefault(block, {})
        is_new = shape not in own
        if is_new:
            own[shape] = _Forward(self._model, block, shape)
        own[shape].place(caches, counts, positions)
        try:
            if is_new and self._captures:
                own[shape].capture(self._pool)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("the forward of %d texts of %d tokens runs uncaptured: %s", *shape, error)
        return own[shape]


def _can_serve(block: BufferBlock, shape: Shape) -> bool:
    """Tell whether so many texts of a block can go through one forward."""
    tensor = block.tensor
    return shape[0] == 1 or packed_kernel(tensor.device, tensor.dtype, tensor.shape[-1]) is not None


def _num_texts(count: int) -> int:
    """Return texts of the shape that serves so many: powers of two are few, and pad little."""
    return 1 << (count - 1).bit_length()


def _block_of(cache: object) -> BufferBlock | None:
    """Return the block of a stream whose buffers stay where they are; None for others."""
    if not isinstance(cache, StreamCache) or not isinstance(cache.buffers, WholeBuffers) or cache.growable:
        return None
    return cache.buffers.block if isinstance(cache.buffers.block, BufferBlock) else None


def _block_of_text(request: ForwardRequest) -> BufferBlock | None:
    """Return the block of the stream that a request for the token behind a text is of; None for others."""
    if len(request.segments) > 1 or not request.wants_logits or request.places is not None:
        return None
    segment = request.segments[0]
    if not segment.is_plain or segment.deepstack is not None or len(segment.embeddings) > LENGTHS[-1]:
        return None
    return _block_of(segment.cache)


class _Forward:
    """The forward of texts of one shape.

    Args:
        model: a loaded model.
        block: of the texts' streams; only its tensor is kept, so that the block can go.
        shape: texts, and tokens of each.
    """

    def __init__(self, model: VideoModel, block: BufferBlock, shape: Shape) -> None:
        self._model, self._shape, tensor = model, shape, block.tensor
        (num_texts, length), (num_layers, num_axes) = shape, (tensor.shape[2], model.layout.rotary.num_axes)
        count = num_texts * length
        where: dict[str, Any] = {"device": tensor.device}
        self._embeddings = torch.zeros(count, model.embed([0]).shape[1], dtype=tensor.dtype, **where)
        self._tensor, self._rows_per_stream = tensor, block.rows_per_stream
        self._kernel = packed_kernel(tensor.device, tensor.dtype, tensor.shape[-1])
        self._parts = (
            *(num_axes * count, count, num_layers * count),  # positions, rows, slots
            *(num_texts + 1, num_layers * num_texts, num_texts),  # starts, used, last
        )
        self._numbers = torch.zeros(sum(self._parts), dtype=torch.long, **where)
        self._replay: Callable[[], None] = self._compute
        self._logits: Tensor | None = None

    def place(
        self, caches: Sequence[StreamCache], counts: Sequence[int], positions: Int[Tensor, "axes tokens"]
    ) -> None:
        """Say where texts stand: at the end of what their streams hold.

        Args:
            caches: of the streams, their slots reserved.
            counts: tokens of each text, or 0; padding stands behind them, in slots that are free.
            positions: of all tokens.
        """
        (num_texts, length), num_slots = self._shape, self._tensor.shape[4]
        lengths = torch.tensor(counts)
        rows = torch.tensor([getattr(cache.buffers, "row", 0) for cache in caches])
        starts = torch.tensor([cache.num_tokens for cache in caches]).T - lengths
        slots, used = (starts[..., None] + torch.arange(length)).flatten(1), starts + length
        if missing := num_texts - len(caches):  # they write where nothing is, and read one slot
            rows = torch.cat((rows, rows[:1].expand(missing)))
            slots, used = F.pad(slots, (0, missing), value=num_slots - 1), F.pad(used, (0, missing), value=1)
            lengths = F.pad(lengths, (0, missing), value=1)
        first = rows * self._rows_per_stream
        last = torch.arange(num_texts) * length + (lengths - 1).clamp(min=0)
        positions = F.pad(positions, (0, num_texts * length - positions.shape[1]))
        own_rows, starts = rows.repeat_interleave(length), torch.cat((first, first.amax(0, True) + num_slots))
        parts = (positions, own_rows, slots, starts, used, last)
        # From pageable memory: the copy is over for the host before the next text is placed.
        self._numbers.copy_(torch.cat([part.flatten() for part in parts]))

    def run(
        self, embeddings: Float[Tensor, "tokens hidden"], num_texts: int
    ) -> Float[Tensor, "texts vocabulary"]:
        """Return the logits behind the last token of each text that was placed.

        Args:
            embeddings: of their tokens.
            num_texts: how many they are.
        """
        self._embeddings[: len(embeddings)] = embeddings
        self._replay()
        assert self._logits is not None
        return self._logits[:num_texts].clone()

    def _compute(self) -> None:
        tensor, num_texts = self._tensor, self._shape[0]
        positions, rows, slots, starts, used, last = self._numbers.split(self._parts)
        text = FixedText(
            block=tensor,
            positions=positions.view(-1, len(rows)),
            rows=rows,
            slots=slots.view(-1, len(rows)),
            starts=starts.int(),
            used=used.view(-1, num_texts).int(),
            kernel=self._kernel,
        )
        hidden = forward_fixed(self._model.decoder, self._embeddings, text)
        self._logits = self._model.logits(hidden.index_select(0, last))

    def capture(self, pool: Any) -> None:
        """Record the forward. Its trials write where texts were placed, and these are written behind them."""
        device = self._embeddings.device
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._compute()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Threads that decode video may ask the driver for memory meanwhile: that is no fault of this one.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._compute()
        self._replay = graph.replay
