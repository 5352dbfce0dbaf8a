"""One stream's memory: raw keys, values and positions of every layer, in buffers allocated once.

Each layer's slots lie in this order: the text prefix, the visual tokens it still holds, and, while a question
is being answered, the question and the answer. The contents change in three methods only: ``append`` (with
``store``, its half that the attention calls layer by layer), ``apply`` and ``rewind``.

The module knows nothing about models and decides nothing: a policy plans, the cache applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.errors import CapacityError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import next_position, reindex, right_alignment, rotate
from hermes_stream.memory.selection import evicted_mask, take_tokens
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.memory.summary import merged, new_slots, summary_position


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualOrigin:
    """Where the tokens of a chunk come from: one entry per token.

    Attributes:
        frame_numbers: which frame of the stream.
        pts_seconds: presentation time of that frame.
        patch_numbers: place within the frame; None where nobody counted.
        is_word: text that belongs to the frame, such as its time; None where there is none.
    """

    frame_numbers: Int[Tensor, " tokens"]
    pts_seconds: Float[Tensor, " tokens"]
    patch_numbers: Int[Tensor, " tokens"] | None = None
    is_word: Bool[Tensor, " tokens"] | None = None

    def taken(self, slots: slice) -> VisualOrigin:
        """Return the origin of some of the tokens."""
        return VisualOrigin(
            frame_numbers=self.frame_numbers[slots],
            pts_seconds=self.pts_seconds[slots],
            patch_numbers=None if self.patch_numbers is None else self.patch_numbers[slots],
            is_word=None if self.is_word is None else self.is_word[slots],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point to rewind to, valid until the next compression."""

    lengths: tuple[int, ...]
    num_visual: tuple[int, ...]
    next_position: int
    next_token_id: int
    generation: int


class StreamCache:
    """The bounded key-value memory of one stream.

    Keys are stored raw, so that re-indexing is an assignment of integers and a summary key is a plain mean;
    a rotated copy, refreshed when positions change, is what attention reads.

    Args:
        layout: the model's shape.
        capacities: slots of each layer.
        num_prefix_tokens: the first tokens appended are the prefix, which is never evicted.
        growable: double full buffers instead of refusing (for policies without a bound).

    Attributes:
        next_position: the stream's one write clock, the first position that no layer uses.
        num_compressions: how often tokens were evicted.
    """

    def __init__(
        self,
        layout: CacheLayout,
        capacities: Sequence[int],
        *,
        num_prefix_tokens: int,
        growable: bool = False,
    ) -> None:
        self.layout = layout
        self.num_prefix_tokens = num_prefix_tokens
        self.growable = growable
        self.next_position = 0
        self.num_compressions = 0
        self._generation = 0
        self._next_token_id = 0
        self._lengths = [0] * layout.num_layers
        self._num_visual = [0] * layout.num_layers
        self._allocate(capacities)

    def _allocate(self, capacities: Sequence[int]) -> None:
        layout = self.layout
        self._raw_keys, self._rotated_keys, self._values = (
            [
                torch.zeros(
                    (layout.num_kv_heads, capacity, layout.head_dim),
                    dtype=layout.dtype,
                    device=layout.device_of(layer),
                )
                for layer, capacity in enumerate(capacities)
            ]
            for _ in ("raw keys", "rotated keys", "values")
        )
        slots, device = (layout.num_layers, max(capacities)), layout.device
        axes = layout.rotary.num_axes
        self._positions = torch.zeros((slots[0], axes, slots[1]), dtype=torch.long, device=device)
        self._token_ids = torch.full(slots, -1, dtype=torch.long, device=device)
        self._frame_numbers = torch.full(slots, -1, dtype=torch.long, device=device)
        self._patch_numbers = torch.full(slots, -1, dtype=torch.long, device=device)
        self._counts = torch.zeros(slots, dtype=torch.long, device=device)
        seconds = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._pts_seconds = torch.zeros(slots, dtype=seconds, device=device)

    @property
    def capacities(self) -> tuple[int, ...]:
        """Slots of each layer."""
        return tuple(keys.shape[1] for keys in self._raw_keys)

    @property
    def num_visual_tokens(self) -> tuple[int, ...]:
        """Visual tokens that each layer holds, summaries included."""
        return tuple(self._num_visual)

    @property
    def num_tokens(self) -> tuple[int, ...]:
        """All tokens that each layer holds."""
        return tuple(self._lengths)

    @staticmethod
    def num_bytes_of(layout: CacheLayout, capacities: Sequence[int]) -> int:
        """Return what the buffers of a cache with so many slots in each layer take."""
        keys_and_values = sum(capacities) * layout.bytes_per_token // layout.num_layers
        records = layout.rotary.num_axes + 5
        return keys_and_values + layout.num_layers * max(capacities) * 8 * records

    @property
    def num_bytes(self) -> int:
        """Bytes of all buffers, used or not."""
        return sum(tensor.nbytes for tensor in self._tensors())

    def _tensors(self) -> list[Tensor]:
        return [*self._raw_keys, *self._rotated_keys, *self._values, self._positions, *self._records()]

    def _records(self) -> tuple[Tensor, ...]:
        """Return what is noted of each token beside its position, as ``[layers, slots]``."""
        identities = (self._token_ids, self._frame_numbers, self._patch_numbers)
        return (*identities, self._counts, self._pts_seconds)

    def keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the raw keys that a layer holds (a view)."""
        return self._raw_keys[layer_idx][:, : self._lengths[layer_idx]]

    def values(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the values that a layer holds (a view)."""
        return self._values[layer_idx][:, : self._lengths[layer_idx]]

    def rotated_keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the keys that a layer holds, turned to their positions (a view)."""
        return self._rotated_keys[layer_idx][:, : self._lengths[layer_idx]]

    def frame_numbers(self, layer_idx: int) -> Int[Tensor, " tokens"]:
        """Return which frame each of a layer's prefix (-1) and visual tokens came from (a view)."""
        return self._frame_numbers[layer_idx, : self.num_prefix_tokens + self._num_visual[layer_idx]]

    def positions(self, layer_idx: int) -> Int[Tensor, "axes tokens"]:
        """Return the positions of a layer's prefix and visual tokens (a view)."""
        end = min(self._lengths[layer_idx], self.num_prefix_tokens + self._num_visual[layer_idx])
        return self._positions[layer_idx, :, :end]

    def append(self, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin | None = None) -> None:
        """Reserve the next slots of every layer; the attention fills them with ``store``.

        Args:
            positions: of the new tokens, in host memory, so that the clock advances without waiting for the
                device.
            origin: frames of visual tokens; None for text, which after the prefix is a question or an answer
                and must be rewound before visual tokens follow.

        Raises:
            CapacityError: the buffers are full.
            ValueError: visual tokens would follow a question.
        """
        count = positions.shape[1]
        if origin is not None and self._lengths[0] != self.num_prefix_tokens + self._num_visual[0]:
            raise ValueError("visual tokens cannot follow a question; rewind to the mark before it first")
        self._make_room(count)
        if origin is not None or self._lengths[0] < self.num_prefix_tokens:
            self._record(positions, origin)
        self._lengths = [length + count for length in self._lengths]
        self.next_position = max(self.next_position, int(positions.max()) + 1)
        if origin is not None:
            self._num_visual = [length + count for length in self._num_visual]
            self._next_token_id += count

    def _make_room(self, count: int) -> None:
        needed = [length + count for length in self._lengths]
        if all(n <= capacity for n, capacity in zip(needed, self.capacities, strict=True)):
            return
        if not self.growable:
            raise CapacityError(
                f"{count} more tokens do not fit: the fullest layer holds {max(self._lengths)} of "
                f"{max(self.capacities)} slots; ask a shorter question, or make the session with "
                f"more text_tokens"
            )
        old = self._tensors()
        self._allocate([max(2 * capacity, *needed) for capacity in self.capacities])
        for tensor, grown in zip(old, self._tensors(), strict=True):
            axis = 1 if tensor.dim() == 2 or tensor.dtype.is_floating_point else 2
            grown.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)

    def _record(self, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin | None) -> None:
        count, device = positions.shape[1], self._positions.device
        rows = torch.arange(self.layout.num_layers, device=device)[:, None]
        slots = torch.tensor(self._lengths, device=device)[:, None] + torch.arange(count, device=device)
        self._positions[rows, :, slots] = positions.to(device).T
        if origin is None:
            return
        first = self._next_token_id
        self._token_ids[rows, slots] = torch.arange(first, first + count, device=device)
        self._frame_numbers[rows, slots] = origin.frame_numbers.to(device)
        self._pts_seconds[rows, slots] = origin.pts_seconds.to(self._pts_seconds)
        self._counts[rows, slots] = 1 if origin.is_word is None else (~origin.is_word).long().to(device)
        self._patch_numbers[rows, slots] = (
            -1 if (patches := origin.patch_numbers) is None else patches.to(device)
        )

    def store(
        self,
        layer_idx: int,
        *,
        raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
        rotated_keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
    ) -> None:
        """Fill the slots that ``append`` reserved last, in one layer."""
        end = self._lengths[layer_idx]
        slots = slice(end - raw_keys.shape[1], end)
        self._raw_keys[layer_idx][:, slots] = raw_keys
        self._rotated_keys[layer_idx][:, slots] = rotated_keys
        self._values[layer_idx][:, slots] = values

    @property
    def is_untouched(self) -> bool:
        """Whether every token that came is still where it was put: nothing evicted, no position changed."""
        return self._generation == 0

    def mark(self) -> Mark:
        """Remember this moment, to rewind to it."""
        return Mark(
            lengths=self.num_tokens,
            num_visual=self.num_visual_tokens,
            next_position=self.next_position,
            next_token_id=self._next_token_id,
            generation=self._generation,
        )

    def rewind(self, mark: Mark) -> None:
        """Forget all that was appended since the mark; what was there before is untouched, bit for bit.

        Raises:
            ValueError: the cache was compressed since the mark.
        """
        if mark.generation != self._generation:
            raise ValueError("this mark is from before a compression; only later marks can be rewound to")
        self._lengths, self._num_visual = list(mark.lengths), list(mark.num_visual)
        self.next_position, self._next_token_id = mark.next_position, mark.next_token_id

    def state(
        self,
        attention: Float[Tensor, "layers tokens"] | None = None,
        *,
        shows_keys: bool = False,
        shows_values: bool = False,
    ) -> MemoryState:
        """Return what a policy may see.

        Args:
            attention: what each layer's guidance prompt pays to its visual tokens.
            shows_keys: give views of raw and rotated keys.
            shows_values: give views of values.
        """
        width = max(self._num_visual)
        lengths = torch.tensor(self._num_visual, device=self._token_ids.device)
        absent = torch.arange(width, device=lengths.device) >= lengths[:, None]
        visual = slice(self.num_prefix_tokens, self.num_prefix_tokens + width)
        return MemoryState(
            num_prefix_tokens=self.num_prefix_tokens,
            token_ids=self._token_ids[:, visual].masked_fill(absent, -1),
            frame_numbers=self._frame_numbers[:, visual].masked_fill(absent, -1),
            pts_seconds=self._pts_seconds[:, visual].masked_fill(absent, 0),
            counts=self._counts[:, visual].masked_fill(absent, 0),
            protected=torch.zeros_like(absent),
            attention=attention,
            num_compressions=self.num_compressions,
            patch_numbers=self._patch_numbers[:, visual].masked_fill(absent, -1),
            raw_keys=self._held(self._raw_keys) if shows_keys else None,
            rotated_keys=self._held(self._rotated_keys) if shows_keys else None,
            values=self._held(self._values) if shows_values else None,
        )

    def _held(self, buffers: list[Tensor]) -> tuple[Float[Tensor, "kv_heads held head_dim"], ...]:
        """Return each layer's visual tokens (views)."""
        first = self.num_prefix_tokens
        pairs = zip(buffers, self._num_visual, strict=True)
        return tuple(buffer[:, first : first + count] for buffer, count in pairs)

    def apply(self, plan: RetentionPlan) -> None:
        """Keep what the plan keeps, summarize what it evicts, close the gaps where it says so.

        Raises:
            ValueError: a question is in the cache, or the plan is for another number of layers.
        """
        if self._lengths[0] != self.num_prefix_tokens + self._num_visual[0]:
            raise ValueError("the memory cannot be compressed while a question is in it; rewind it first")
        if len(plan.keep) != self.layout.num_layers:
            raise ValueError(
                f"the plan is for {len(plan.keep)} layers, the cache has {self.layout.num_layers}"
            )
        state = self.state()
        evicted = evicted_mask(plan.keep, state.present) & (state.counts > 0)
        evicts = evicted.any(dim=1)
        summarizes = plan.summarize & evicts
        num_new = summarizes.long() if plan.merge is None else plan.merge.num_slots
        num_kept, num_added = (plan.keep >= 0).sum(dim=1).tolist(), num_new.tolist()
        for layer, keep in enumerate(plan.keep):
            if num_kept[layer] < self._num_visual[layer] or num_added[layer]:
                visual = self._held(self._raw_keys)[layer], self._held(self._values)[layer]
                device = self.layout.device_of(layer)
                leaves = evicted[layer].to(device)
                added = merged(*visual, plan.merge, layer, leaves) if num_added[layer] else None
                self._retain(layer, keep[: num_kept[layer]].to(device), added)
        self._retain_records(plan, state, evicted, summarizes)
        self._num_visual = [kept + added for kept, added in zip(num_kept, num_added, strict=True)]
        self._lengths = [self.num_prefix_tokens + count for count in self._num_visual]
        self._place(summarizes, dense=plan.reindex)
        self._generation += 1
        self.num_compressions += int(evicts.any())

    def _retain(self, layer: int, keep: Int[Tensor, " kept"], added: tuple[Tensor, Tensor] | None) -> None:
        """Move a layer's kept tokens to the front, and the new slots right behind them."""
        first, end = self.num_prefix_tokens, self.num_prefix_tokens + len(keep)
        for index, buffers in enumerate((self._raw_keys, self._values)):
            buffer = buffers[layer]
            buffer[:, first:end] = take_tokens(self._held(buffers)[layer], keep)
            if added is not None:
                buffer[:, end : end + added[index].shape[1]] = added[index]

    def _retain_records(
        self,
        plan: RetentionPlan,
        state: MemoryState,
        evicted: Bool[Tensor, "layers tokens"],
        summarizes: Bool[Tensor, " layers"],
    ) -> None:
        """Do to the records what ``_retain`` does to keys and values."""
        first, keep = self.num_prefix_tokens, plan.keep
        place, counts = new_slots(plan.merge, state, evicted, summarizes)
        rows, columns = (place >= 0).nonzero(as_tuple=True)
        origins, slots = first + place[rows, columns], first + (keep >= 0).sum(dim=1)[rows] + columns
        visual, source = slice(first, first + keep.shape[1]), keep.clamp(min=0) + first
        for record in (*self._records(), *self._positions.unbind(1)):
            inherited = record[rows, origins]
            record[:, visual] = record.gather(1, source)
            record[rows, slots] = inherited
        self._token_ids[rows, slots] = self._next_token_id + columns
        self._counts[rows, slots] = counts[rows, columns]
        of_no_frame = rows[summarizes[rows]], slots[summarizes[rows]]
        self._frame_numbers[of_no_frame] = self._patch_numbers[of_no_frame] = -1
        self._next_token_id += place.shape[1]

    def _place(self, summarizes: Bool[Tensor, " layers"], *, dense: bool) -> None:
        """Give summaries their positions, make positions dense if asked, and turn the keys to them."""
        width = max(self._lengths)
        lengths = torch.tensor(self._lengths, device=self._positions.device)
        present = torch.arange(width, device=lengths.device) < lengths[:, None]
        is_summary = summarizes[:, None] & (
            torch.arange(width, device=lengths.device) == lengths[:, None] - 1
        )
        kept = present & ~is_summary
        positions = self._positions[:, :, :width]
        if dense:
            positions[:, :, : self.num_prefix_tokens] = torch.arange(
                self.num_prefix_tokens, device=lengths.device
            )
            positions.copy_(reindex(positions, self.num_prefix_tokens, kept))
        summary = summary_position(positions, kept)
        positions.copy_(torch.where(is_summary[:, None], summary[:, None, None], positions))
        ends = next_position(positions, present)
        if dense:
            positions += right_alignment(ends)[:, None, None]
        self.next_position = int(ends.max()) if dense else max(self.next_position, int(ends.max()))
        for layer, length in enumerate(self._lengths):
            cos, sin = self.layout.rotary.cos_sin(self._positions[layer, :, :length])
            raw_keys = self._raw_keys[layer][:, :length]
            self._rotated_keys[layer][:, :length] = rotate(
                raw_keys, cos.to(raw_keys.device), sin.to(raw_keys.device)
            )
