"""Question and answer tokens through forwards of fixed shape, which a GPU captures once and replays.

A question is padded to a length of ``LENGTHS``; where its tokens go is said in tensors, not in code.
Where nothing is captured the same forwards run one operation at a time, with the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.buffers import WholeBuffers
from hermes_stream.cache import StreamCache
from hermes_stream.fixed_text import FixedText, forward_fixed
from hermes_stream.memory.rope import signed
from hermes_stream.models.base import VideoModel
from hermes_stream.segments import Segment

log = logging.getLogger(__name__)
LENGTHS = (1, 32, 128)
_WARM_UPS = 2


class TextGraphs:
    """The forwards of question and answer tokens, for each stream its own, since they know its buffers.

    Args:
        model: a loaded model, on one device.
        captures: record each forward as a CUDA graph; False only runs it.
    """

    def __init__(self, model: VideoModel, *, captures: bool) -> None:
        self._model, self._captures = model, captures
        self._pool = torch.cuda.graph_pool_handle() if captures else None
        self._forwards: WeakKeyDictionary[StreamCache, dict[int, _Forward]] = WeakKeyDictionary()

    def prepare(self, cache: StreamCache) -> None:
        """Capture the forwards of a stream before its first question comes, so that none waits for it."""
        if not self._captures or not _is_fixed(cache):
            return
        for length in LENGTHS:
            if all(
                held + length <= slots
                for held, slots in zip(cache.num_tokens, cache.buffers.capacities, strict=True)
            ):
                self._forward(cache, length)

    def logits(self, segment: Segment) -> Float[Tensor, " vocabulary"] | None:
        """Return the logits of the token that follows a segment of text; None where no fixed shape fits it.

        Args:
            segment: question or answer tokens; ``append`` has reserved their slots.
        """
        cache, count = segment.cache, len(segment.embeddings)
        if not isinstance(cache, StreamCache) or not _is_fixed(cache):
            return None
        if segment.probe or segment.observation or segment.recall or segment.deepstack is not None:
            return None
        starts = [held - count for held in cache.num_tokens]
        room = min(slots - start for slots, start in zip(cache.buffers.capacities, starts, strict=True))
        length = next((length for length in LENGTHS if count <= length <= room), None)
        own = None if length is None else self._forward(cache, length)
        return None if own is None else own.run(segment, starts)

    def _forward(self, cache: StreamCache, length: int) -> _Forward | None:
        """Return a forward, made at its first use; None where the device cannot capture it."""
        own = self._forwards.setdefault(cache, {})
        if length not in own:
            own[length] = _Forward(self._model, cache, length)
            try:
                if self._captures:
                    own[length].capture(self._pool)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("the forward of %d text tokens runs uncaptured: %s", length, error)
        return own[length]


def _is_fixed(cache: StreamCache) -> bool:
    """Tell whether a stream's buffers stay where they are, and hold keys as attention reads them."""
    return isinstance(cache.buffers, WholeBuffers) and not cache.growable


class _Forward:
    """The forward of so many text tokens, or fewer, of one stream."""

    def __init__(self, model: VideoModel, cache: StreamCache, length: int) -> None:
        assert isinstance(cache.buffers, WholeBuffers)
        layout, self._model = model.layout, model
        where: dict[str, Any] = {"dtype": layout.dtype, "device": layout.device}
        self._embeddings = torch.zeros(length, model.embed([0]).shape[1], **where)
        self._last = torch.zeros(1, dtype=torch.long, device=layout.device)
        self._text = FixedText(
            buffers=cache.buffers,
            cos=torch.zeros(length, layout.head_dim, **where),
            signed_sin=torch.zeros(length, layout.head_dim, **where),
            starts=torch.tensor(cache.num_tokens, device=layout.device),
        )
        self._replay: Callable[[], None] = self._compute
        self._logits: Tensor | None = None

    def run(self, segment: Segment, starts: list[int]) -> Float[Tensor, " vocabulary"]:
        """Say where a segment stands, run, and return the logits behind its last token."""
        count = len(segment.embeddings)
        cos, sin = self._model.layout.rotary.cos_sin(segment.positions.to(self._embeddings.device))
        self._embeddings[:count] = segment.embeddings
        self._text.cos[:count], self._text.signed_sin[:count] = cos, signed(sin)
        self._text.starts.copy_(torch.tensor(starts))
        self._last.fill_(count - 1)
        self._replay()
        assert self._logits is not None
        return self._logits[0].clone()

    def _compute(self) -> None:
        hidden = forward_fixed(self._model.decoder, self._embeddings, self._text)
        self._logits = self._model.logits(hidden.index_select(0, self._last))

    def capture(self, pool: Any) -> None:
        """Record the forward. It is tried on the slots behind all that the stream holds."""
        device = self._embeddings.device
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._compute()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            self._compute()
        self._replay = graph.replay
