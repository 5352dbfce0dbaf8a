"""What enters a packed forward: the new tokens of each stream, and where their keys and values go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.attention_weights import Observation, Probe
from hermes_stream.cache import StreamCache
from hermes_stream.layout import CacheLayout


@runtime_checkable
class KeysAndValues(Protocol):
    """What attention needs of a stream's cache, or of another store that a question reads."""

    layout: CacheLayout

    def store(self, layer_idx: int, *, raw_keys: Tensor, rotated_keys: Tensor, values: Tensor) -> None:
        """Fill the slots that were reserved last, in one layer."""

    def rotated_keys(self, layer_idx: int) -> Tensor:
        """Return the keys that a layer holds, rotated to their positions."""

    def values(self, layer_idx: int) -> Tensor:
        """Return the values that a layer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stream's new tokens in a packed forward.

    Attributes:
        cache: the stream's memory. Unless the segment leaves nothing, ``append`` has reserved its slots.
        embeddings: of the new tokens.
        positions: of the new tokens, in host memory.
        probe: given, the segment reads the memory and leaves nothing in it.
        observation: given, collects what the segment's newest tokens attend to; the segment is written as
            without it.
        recall: given, called with each layer's index and raw queries before that layer is read.
        deepstack: given, features that are added to the tokens behind each of the first decoder layers.
        branches: given, the segment is so many texts of these lengths, one behind the other, that do not see
            each other; like a probe it reads the memory and leaves nothing in it.
        sees: given, which of the slots that a layer holds each branch reads; without, all.
    """

    cache: KeysAndValues
    embeddings: Float[Tensor, "tokens hidden"]
    positions: Int[Tensor, "axes tokens"]
    probe: Probe | None = None
    observation: Observation | None = None
    recall: Callable[[int, Tensor], None] | None = None
    deepstack: Float[Tensor, "levels tokens hidden"] | None = None
    branches: tuple[int, ...] | None = None
    sees: Bool[Tensor, "layers branches slots"] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all it wants is to be written and to read."""
        return not (self.probe or self.observation or self.recall or self.branches)


@dataclass(frozen=True, slots=True)
class Place:
    """Which tokens of a packed forward a segment is, and what it stores.

    Attributes:
        tokens: the segment's own.
        stored: tokens whose keys and values it stores: its own, and those of the probes right behind it,
            which go into slots that are free; None stores nothing.
        hidden: of a probe whose keys and values are in such slots, tokens of other probes before it there;
            None where it has none.
    """

    tokens: slice
    stored: slice | None = None
    hidden: int | None = None


def places_of(segments: Sequence[Segment]) -> list[Place]:
    """Find out what each segment stores: probes of one stream store theirs with what comes before them."""
    places: list[Place] = []
    ends = list(accumulate(segment.embeddings.shape[0] for segment in segments))
    starts = [0, *ends[:-1]]
    index = 0
    while index < len(segments):
        first, behind = segments[index], index + 1
        while behind < len(segments) and segments[behind].probe and segments[behind].cache is first.cache:
            behind += 1
        is_text = first.branches is not None
        texts = index if first.probe else index + 1  # the first probe of this stream
        num_texts = ends[behind - 1] - starts[texts] if texts < behind else 0
        num_free = first.cache.num_free_slots if isinstance(first.cache, StreamCache) and not is_text else 0
        fits = 0 < num_texts <= num_free
        stored = slice(starts[index], ends[behind - 1 if fits else index])
        stores = not is_text and (fits or first.probe is None)
        hidden = 0 if first.probe and fits else None
        places.append(Place(slice(starts[index], ends[index]), stored if stores else None, hidden))
        places += [
            Place(slice(starts[k], ends[k]), hidden=starts[k] - starts[texts] if fits else None)
            for k in range(index + 1, behind)
        ]
        index = behind
    return places
