"""Question and answer tokens through forwards of fixed shape, which a GPU captures once and replays.

A shape is a number of tokens, of whichever texts and streams of one block; fewer are padded. Where they go is
said in tensors, not in code. Where nothing is captured the same forwards run one operation at a time, with
the same numbers.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.attention_kernels import has_fast_masks
from hermes_stream.blocks import BufferBlock
from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache
from hermes_stream.fixed_text import TOKENS_APART, FixedReading, FixedText, forward_fixed
from hermes_stream.memory.constants import ready_to_send
from hermes_stream.memory.rope import signed
from hermes_stream.models.base import VideoModel
from hermes_stream.packed_kernel import packed_kernel, summing_kernel
from hermes_stream.parted_reading import PartedReading
from hermes_stream.segments import Segment
from hermes_stream.stream.next_tokens import LikeliestTokens, NextToken, NextTokens
from hermes_stream.stream.recording import Recording, RecordingPool
from hermes_stream.stream.work import ForwardRequest

log = logging.getLogger(__name__)
LENGTHS = (1, 2, 4, 8, 32, 64, 128, 256)
"""Of texts, in tokens. At 7B 256 take no more of a pool than 128 in parts do, 37 MB by reckoning; 512 would
double that (results/reckoned_graphs.json), and make as many products again of a text of 257."""
_OF_QUESTIONS = (32, 64, 128, 256)
_AT_ONCE = (32, 64, 128)  # captured when a stream comes; longer questions are rare
_LONGEST_IN_PARTS = 128  # the parts of more take twice the memory of reading it as a whole
_MAX_REPLAYS = 4  # each reads all weights; more batches at a time go through one ordinary forward
_MIN_TEXTS = 4  # of a batch that is worth it even then
_WARM_UPS = 2


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
        self._model = model
        self._pool = RecordingPool(model.layout.device) if captures else None
        self._forwards: WeakKeyDictionary[BufferBlock, dict[_Shape, _Forward]] = WeakKeyDictionary()

    def prepare(self, cache: StreamCache) -> None:
        """Capture the forwards of a new stream before its first question comes, so that none waits for it."""
        if (block := _block_of(cache)) is None:
            return
        num_streams = block.tensor.shape[1] - block.num_free if _is_shared(block) else 1
        num_apart = min(num_streams, TOKENS_APART)  # more texts are never read together
        for shape in (_shape_for([1] * num_apart), *(_shape_for([count]) for count in _AT_ONCE)):
            if shape is not None and _has_room(cache, 0, shape):
                self._placed(block, shape, lambda forward: forward.place_nothing(cache))

    def serve(self, requests: Iterable[ForwardRequest]) -> dict[ForwardRequest, NextToken]:
        """Return the token that follows each text, for those that fixed shapes serve.

        Args:
            requests: of one or several streams; ``append`` has reserved the slots of their segments.
        """
        batches = list[list[ForwardRequest]]()
        for block, texts in _by_block(requests).items():
            batches += _batches(texts) if _is_shared(block) else [[text] for text in texts]
        if len(batches) > _MAX_REPLAYS:
            batches = [batch for batch in batches if len(batch) >= _MIN_TEXTS][:_MAX_REPLAYS]
        served, found = list[ForwardRequest](), list[tuple[Tensor, LikeliestTokens]]()
        for batch in batches:
            if (part := self._read([one.segments[0] for one in batch])) is not None:
                served += batch
                found.append(part)
        if not served:
            return {}
        logits, likeliest = zip(*found, strict=True)
        return dict(zip(served, NextTokens(self._model, logits, likeliest).of_texts(), strict=True))

    def _read(
        self, segments: Sequence[Segment]
    ) -> tuple[Float[Tensor, "texts vocabulary"], LikeliestTokens] | None:
        """Run texts of one block; None where the first one's stream has no room for padding."""
        first, cache = segments[0], segments[0].cache
        shape = _shape_for([len(segment.embeddings) for segment in segments])
        assert isinstance(cache, StreamCache)
        assert shape is not None
        if (block := _block_of(cache)) is None or not _has_room(cache, len(first.embeddings), shape):
            return None
        return self._placed(block, shape, lambda forward: forward.place(segments)).run()

    def _placed(self, block: BufferBlock, shape: _Shape, place: Callable[[_Forward], None]) -> _Forward:
        """Return a forward that is told where its tokens stand.

        It is captured at its first use; one that the device cannot capture runs uncaptured.
        """
        own = self._forwards.setdefault(block, {})
        is_new = shape not in own
        forward = own[shape] = _Forward(self._model, block, shape) if is_new else own[shape]
        place(forward)
        try:
            if is_new and self._pool is not None:
                forward.capture(self._pool)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("the forward of %d text tokens runs uncaptured: %s", shape.num_tokens, error)
        return forward


class _Shape(NamedTuple):
    """Of a forward: its tokens, with padding, and whether they are all of one text."""

    num_tokens: int
    is_one_text: bool


def _shape_for(counts: Sequence[int]) -> _Shape | None:
    """Return the shape that texts of so many tokens fit; None where none is so large."""
    length = next((length for length in LENGTHS if sum(counts) <= length), None)
    return None if length is None else _Shape(length, len(counts) == 1 and length in _OF_QUESTIONS)


def _has_room(cache: StreamCache, count: int, shape: _Shape) -> bool:
    """Tell whether a stream has slots for the padding behind its text of so many tokens, which it holds."""
    padding = shape.num_tokens - count if shape.is_one_text else 1
    return max(cache.num_tokens) + padding <= min(cache.buffers.capacities)


def _is_shared(block: BufferBlock) -> bool:
    """Tell whether tokens of several streams of a block can be read at once."""
    tensor = block.tensor
    return packed_kernel(tensor.device, tensor.dtype, tensor.shape[-1]) is not None


def _batches(texts: Sequence[ForwardRequest]) -> Iterator[list[ForwardRequest]]:
    """Divide texts of one block into batches that fit a shape: short ones together, long ones alone."""
    batch, count = list[ForwardRequest](), 0
    for text in sorted(texts, key=lambda one: one.num_tokens):
        if batch and count + text.num_tokens > TOKENS_APART:
            yield batch
            batch, count = [], 0
        batch.append(text)
        count += text.num_tokens
    yield batch


def _by_block(requests: Iterable[ForwardRequest]) -> dict[BufferBlock, list[ForwardRequest]]:
    """Return the requests that are for the token behind a text of a stream in a block."""
    found = defaultdict[BufferBlock, list[ForwardRequest]](list)
    for one in requests:
        if (block := _block_of_text(one)) is not None:
            found[block].append(one)
    return found


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
    """The forward of so many text tokens of the streams of a block.

    Args:
        model: a loaded model.
        block: of the texts' streams; only its tensor is kept, so that the block can go.
        shape: of the texts.
    """

    def __init__(self, model: VideoModel, block: BufferBlock, shape: _Shape) -> None:
        self._model, self._tensor, self._is_one_text = model, block.tensor, shape.is_one_text
        self.length = length = shape.num_tokens
        self._rows_per_stream, tensor = block.rows_per_stream, block.tensor
        where: dict[str, Any] = {"device": tensor.device}
        self._embeddings = torch.zeros(length, model.embed([0]).shape[1], dtype=tensor.dtype, **where)
        num_layers, self._num_axes = tensor.shape[2], model.layout.rotary.num_axes
        # positions, row, slots, and which tokens are the last of their texts
        self._parts = (self._num_axes, 1, num_layers, 1)
        self._numbers = torch.zeros(sum(self._parts), length, dtype=torch.long, **where)
        self._num_texts = 0
        self._replay: Callable[[], None] = self._compute
        self._logits: Tensor | None = None
        self._likeliest: LikeliestTokens | None = None

    def place_nothing(self, cache: StreamCache) -> None:
        """Say that there is padding alone, in slots of a stream that nothing is in."""
        nothing = torch.zeros(self._num_axes, 0, dtype=torch.long)
        self._place([cache], [0], nothing)

    def place(self, segments: Sequence[Segment]) -> None:
        """Say which tokens there are, and where they stand: at the end of what their streams hold.

        Args:
            segments: of streams of the block, their slots reserved.
        """
        caches = [segment.cache for segment in segments if isinstance(segment.cache, StreamCache)]
        counts = [len(segment.embeddings) for segment in segments]
        self._place(caches, counts, torch.cat([segment.positions for segment in segments], dim=1))
        torch.cat([segment.embeddings for segment in segments], out=self._embeddings[: sum(counts)])

    def _place(
        self, caches: Sequence[StreamCache], counts: Sequence[int], positions: Int[Tensor, "axes tokens"]
    ) -> None:
        lengths, self._num_texts = torch.tensor(counts), len(caches)
        rows = torch.tensor([getattr(cache.buffers, "row", 0) for cache in caches])
        held = torch.tensor([cache.num_tokens for cache in caches]).T
        # Of a text's tokens the last stands in the last slot.
        back = torch.cat([torch.arange(-count, 0) for count in counts])
        missing, last = self.length - sum(counts), (lengths.cumsum(0) - 1).clamp(min=0)
        rows = torch.cat((rows.repeat_interleave(lengths), rows[:1].expand(missing)))
        slots = held.repeat_interleave(lengths, dim=1) + back
        # The padding of one text stands right behind it; else where nothing ever reads it.
        behind = held[:, :1] + torch.arange(missing)
        slots = torch.cat((slots, behind if self._is_one_text else self._last_slots(missing)), dim=1)
        last = F.pad(last, (0, self.length - len(last)))
        numbers = torch.cat((F.pad(positions, (0, missing)), rows[None], slots, last[None]))
        # In memory of its own each time: it may not be fetched yet when the next text is placed.
        self._numbers.copy_(ready_to_send(numbers, self._numbers.device), non_blocking=True)

    def _last_slots(self, count: int) -> Int[Tensor, "layers some_tokens"]:
        return torch.full((self._tensor.shape[2], count), self._tensor.shape[4] - 1)

    def run(self) -> tuple[Float[Tensor, "texts vocabulary"], LikeliestTokens]:
        """Return the logits of what follows each text that was placed, and the likeliest tokens."""
        self._replay()
        assert self._logits is not None
        assert self._likeliest is not None
        count = self._num_texts
        return self._logits[:count].clone(), self._likeliest.copied(count)

    def _compute(self) -> None:
        positions, rows, slots, last = self._numbers.split(self._parts)
        layout = self._model.layout
        cos, sin = (one.to(layout.dtype) for one in layout.rotary.cos_sin(positions))
        text = FixedText(
            block=self._tensor,
            cos=cos,
            signed_sin=signed(sin),
            rows=rows[0],
            slots=slots,
            reading=self._reading(rows[0], slots),
        )
        hidden = forward_fixed(self._model.decoder, self._embeddings, text)
        # A stream has one text at a time, so that there are no more texts than streams.
        self._logits = self._model.logits(hidden.index_select(0, last[0, : self._tensor.shape[1]]))
        self._likeliest = LikeliestTokens.of(self._model, self._logits)

    def _reading(
        self, rows: Int[Tensor, " tokens"], slots: Int[Tensor, "layers tokens"]
    ) -> FixedReading | PartedReading | None:
        """Choose how tokens are read; None reads those of a single stream under a mask."""
        tensor, rows_per_stream = self._tensor, self._rows_per_stream
        where = (tensor.device, tensor.dtype, tensor.shape[-1])
        is_in_parts = self._is_one_text and self.length <= _LONGEST_IN_PARTS
        if is_in_parts and (summing := summing_kernel(*where)) is not None:
            return PartedReading.of(summing, rows, slots, rows_per_stream=rows_per_stream)
        is_one_token = self.length == tensor.shape[1] == 1
        kernel = packed_kernel(*where)
        if kernel is None or (is_one_token and has_fast_masks(tensor.device)):
            return None
        return FixedReading.of(kernel, rows, slots, rows_per_stream=rows_per_stream)

    def capture(self, pool: RecordingPool) -> None:
        """Record the forward. Its trials write where tokens were placed; these are written behind them."""
        pool.rehearse(self._compute, _WARM_UPS)
        self._replay = Recording(self._compute, pool).replay
