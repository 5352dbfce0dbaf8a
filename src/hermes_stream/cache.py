"""One stream's memory: raw keys, values and positions of every layer, in buffers allocated once.

Each layer's slots lie in this order: the text prefix, the visual tokens it still holds, and, while a question
is being answered, the question and the answer. The contents change in three methods only: ``append`` (with
``store``, its half that the attention calls layer by layer), ``apply`` and ``rewind``.

The module knows nothing about models and decides nothing: a policy plans, the cache applies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.buffers import LayerViews, make_buffers
from hermes_stream.errors import CapacityError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import next_position, reindex, right_alignment
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan, VisualOrigin
from hermes_stream.memory.summary import merged, new_slots, summary_position


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
        buffers: where keys and values lie.
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
        # All at once: memory is bounded by construction, and captured graphs find every slot where it was.
        layout, device, width = self.layout, self.layout.device, max(capacities)
        self.buffers = make_buffers(layout, capacities)
        slots = (layout.num_layers, width)
        self._positions = torch.zeros(
            (layout.num_layers, layout.rotary.num_axes, width), dtype=torch.long, device=device
        )
        self._token_ids = torch.full(slots, -1, dtype=torch.long, device=device)
        self._temporal_patch_ids = torch.full(slots, -1, dtype=torch.long, device=device)
        self._grid_indices = torch.full(slots, -1, dtype=torch.long, device=device)
        self._counts = torch.zeros(slots, dtype=torch.long, device=device)
        seconds = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._pts_seconds = torch.zeros(slots, dtype=seconds, device=device)

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
        """Return the bytes of a cache with these numbers of slots in its layers."""
        keys_and_values = sum(capacities) * layout.bytes_per_token // layout.num_layers
        records = layout.rotary.num_axes + 5
        return keys_and_values + layout.num_layers * max(capacities) * 8 * records

    @property
    def num_bytes(self) -> int:
        """Bytes of all buffers, used or not."""
        return sum(tensor.nbytes for tensor in (*self.buffers.tensors, *self.records.values()))

    @property
    def records(self) -> dict[str, Tensor]:
        """All that is recorded of each token, by name, slots along the last axis."""
        names = ("token_ids", "temporal_patch_ids", "grid_indices", "positions", "counts", "pts_seconds")
        return {name: getattr(self, f"_{name}") for name in names}

    def adopt(self, mark: Mark, num_compressions: int) -> None:
        """Become another cache, whose tokens are then filled in (see ``saved_cache``)."""
        self._lengths = [0] * self.layout.num_layers
        self._make_room(max(mark.lengths))
        self._generation, self.num_compressions = mark.generation, num_compressions
        self.rewind(mark)

    def keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the raw keys that a layer holds."""
        return self.buffers.keys(layer_idx, slice(self._lengths[layer_idx]))

    def values(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the values that a layer holds."""
        return self.buffers.values(layer_idx, slice(self._lengths[layer_idx]))

    def rotated_keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the keys that a layer holds, rotated to their positions."""
        return self._rotated(layer_idx, slice(self._lengths[layer_idx]))

    def _rotated(self, layer_idx: int, slots: slice) -> Float[Tensor, "kv_heads tokens head_dim"]:
        return self.buffers.rotated_keys(layer_idx, slots, self._positions[layer_idx, :, slots])

    def temporal_patch_ids(self, layer_idx: int) -> Int[Tensor, " tokens"]:
        """Return the temporal patch of each of a layer's prefix (-1) and visual tokens (a view)."""
        return self._temporal_patch_ids[layer_idx, : self.num_prefix_tokens + self._num_visual[layer_idx]]

    def positions(self, layer_idx: int) -> Int[Tensor, "axes tokens"]:
        """Return the positions of a layer's prefix and visual tokens (a view)."""
        end = min(self._lengths[layer_idx], self.num_prefix_tokens + self._num_visual[layer_idx])
        return self._positions[layer_idx, :, :end]

    def append(self, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin | None = None) -> None:
        """Reserve the next slots of every layer; the attention fills them with ``store``.

        Args:
            positions: of the new tokens, in host memory, so that the clock advances without waiting for the
                device.
            origin: where visual tokens come from; None for text, which after the prefix is a question or an
                answer and must be rewound before visual tokens follow.

        Raises:
            CapacityError: the buffers are full.
            ValueError: visual tokens would follow a question.
        """
        count = positions.shape[1]
        if origin is not None and self._holds_question:
            raise ValueError("visual tokens cannot follow a question; rewind to the mark before it first")
        self._make_room(count)
        # Nobody reads the records of a question, but keys that are rotated on read need their positions.
        rotates_on_read = self.layout.kv_bits is not None
        if rotates_on_read or origin is not None or self._lengths[0] < self.num_prefix_tokens:
            self._record(positions, origin)
        self._lengths = [length + count for length in self._lengths]
        # One clock for layers that hold different tokens, so that a question has one position everywhere.
        self.next_position = max(self.next_position, int(positions.max()) + 1)
        if origin is not None:
            self._num_visual = [length + count for length in self._num_visual]
            self._next_token_id += count

    @property
    def _holds_question(self) -> bool:
        # Text enters all layers alike, so that one tells for all.
        return self._lengths[0] != self.num_prefix_tokens + self._num_visual[0]

    def _make_room(self, count: int) -> None:
        needed = [length + count for length in self._lengths]
        if all(n <= capacity for n, capacity in zip(needed, self.buffers.capacities, strict=True)):
            return
        if not self.growable:
            raise CapacityError(
                f"{count} more tokens do not fit: the fullest layer holds {max(self._lengths)} of "
                f"{max(self.buffers.capacities)} slots; ask a shorter question, or make the session with "
                f"more text_tokens"
            )
        buffers, records = self.buffers, self.records
        # Doubled, so that over a whole stream each token is copied about once.
        self._allocate([max(2 * capacity, *needed) for capacity in self.buffers.capacities])
        self.buffers.copy_from(buffers)
        for name, grown in self.records.items():
            grown[..., : records[name].shape[-1]] = records[name]

    def _record(self, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin | None) -> None:
        count, device = positions.shape[1], self._positions.device
        rows = torch.arange(self.layout.num_layers, device=device)[:, None]
        slots = torch.tensor(self._lengths, device=device)[:, None] + torch.arange(count, device=device)
        self._positions[rows, :, slots] = positions.to(device).T
        if origin is None:
            return
        first = self._next_token_id
        self._token_ids[rows, slots] = torch.arange(first, first + count, device=device)
        self._temporal_patch_ids[rows, slots] = origin.temporal_patch_ids.to(device)
        self._pts_seconds[rows, slots] = origin.pts_seconds.to(self._pts_seconds)
        self._counts[rows, slots] = 1 if origin.is_text is None else (~origin.is_text).long().to(device)
        self._grid_indices[rows, slots] = (
            -1 if origin.grid_indices is None else origin.grid_indices.to(device)
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
        start = self._lengths[layer_idx] - raw_keys.shape[1]
        self.buffers.write(layer_idx, start, raw_keys=raw_keys, rotated_keys=rotated_keys, values=values)

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
        # A compression moves tokens, so the lengths of an older mark would name other ones.
        if mark.generation != self._generation:
            raise ValueError("this mark is from before a compression; only later marks can be rewound to")
        # Slots behind the lengths are never read and are overwritten later: nothing needs clearing.
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
            temporal_patch_ids=self._temporal_patch_ids[:, visual].masked_fill(absent, -1),
            pts_seconds=self._pts_seconds[:, visual].masked_fill(absent, 0),
            counts=self._counts[:, visual].masked_fill(absent, 0),
            attention=attention,
            grid_indices=self._grid_indices[:, visual].masked_fill(absent, -1),
            raw_keys=self._visual_part(self.buffers.keys) if shows_keys else None,
            rotated_keys=self._visual_part(self._rotated) if shows_keys else None,
            values=self._visual_part(self.buffers.values) if shows_values else None,
        )

    def _visual_part(self, fetch: Callable[[int, slice], Tensor]) -> LayerViews:
        return LayerViews(lambda layer: fetch(layer, self.visual_slots(layer)), self.layout.num_layers)

    def visual_slots(self, layer_idx: int) -> slice:
        """Return where a layer's visual tokens lie."""
        return slice(self.num_prefix_tokens, self.num_prefix_tokens + self._num_visual[layer_idx])

    def apply(self, plan: RetentionPlan) -> None:
        """Keep what the plan keeps, summarize what it evicts, close the gaps where it says so.

        Raises:
            ValueError: a question is in the cache, or the plan is for another number of layers.
        """
        if self._holds_question:
            raise ValueError("the memory cannot be compressed while a question is in it; rewind it first")
        if len(plan.keep) != self.layout.num_layers:
            raise ValueError(
                f"the plan is for {len(plan.keep)} layers, the cache has {self.layout.num_layers}"
            )
        state = self.state()
        # Text tokens of a patch leave without a trace: the mean of a video has no share of "12 seconds".
        evicted = evicted_mask(plan.keep, state.present) & (state.counts > 0)
        evicts = evicted.any(dim=1)
        summarizes = plan.summarize & evicts
        num_new = summarizes.long() if plan.merge is None else plan.merge.num_slots
        num_kept, num_added = (plan.keep >= 0).sum(dim=1).tolist(), num_new.tolist()
        for layer, keep in enumerate(plan.keep):
            if num_kept[layer] < self._num_visual[layer] or num_added[layer]:
                device = self.layout.device_of(layer)
                leaves = evicted[layer].to(device) if num_added[layer] else None
                self._retain(layer, keep[: num_kept[layer]].to(device), plan.merge, leaves)
        self._retain_records(plan, state, evicted, summarizes)
        self._num_visual = [kept + added for kept, added in zip(num_kept, num_added, strict=True)]
        self._lengths = [self.num_prefix_tokens + count for count in self._num_visual]
        self._set_positions(summarizes, dense=plan.reindex)
        self._generation += 1
        self.num_compressions += int(evicts.any())

    def _retain(
        self,
        layer: int,
        keep: Int[Tensor, " kept"],
        merge: MergedSlots | None,
        evicted: Bool[Tensor, " tokens"] | None,
    ) -> None:
        """Move a layer's kept tokens to the front, and new slots behind them, unless ``evicted`` is None."""
        added = None
        if evicted is not None:
            # Before the move, which overwrites tokens that the new slots are means of.
            slots = self.visual_slots(layer)
            visual = self.buffers.keys(layer, slots), self.buffers.values(layer, slots)
            added = merged(*visual, merge, layer=layer, evicted=evicted)
        self.buffers.select(layer, self.num_prefix_tokens, keep)
        if added is not None:
            end = self.num_prefix_tokens + len(keep)
            # Raw for now: ``_set_positions`` rotates them once their positions are known.
            self.buffers.write(layer, end, raw_keys=added[0], rotated_keys=added[0], values=added[1])

    def _retain_records(
        self,
        plan: RetentionPlan,
        state: MemoryState,
        evicted: Bool[Tensor, "layers tokens"],
        summarizes: Bool[Tensor, " layers"],
    ) -> None:
        """Do to the records what ``_retain`` does to keys and values."""
        first, keep = self.num_prefix_tokens, plan.keep
        sources, counts = new_slots(plan.merge, state, evicted, summarizes)
        rows, columns = (sources >= 0).nonzero(as_tuple=True)
        origins, slots = first + sources[rows, columns], first + (keep >= 0).sum(dim=1)[rows] + columns
        visual, source = slice(first, first + keep.shape[1]), keep.clamp(min=0) + first
        records = self.records
        for record in (*records.pop("positions").unbind(1), *records.values()):
            inherited = record[rows, origins]  # read before kept tokens move there
            record[:, visual] = record.gather(1, source)
            record[rows, slots] = inherited
        # Ids stay ascending within a layer, which smoothing relies on: new slots are younger than all tokens.
        self._token_ids[rows, slots] = self._next_token_id + columns
        self._counts[rows, slots] = counts[rows, columns]
        of_no_patch = rows[summarizes[rows]], slots[summarizes[rows]]
        self._temporal_patch_ids[of_no_patch] = self._grid_indices[of_no_patch] = -1
        self._next_token_id += sources.shape[1]

    def _set_positions(self, summarizes: Bool[Tensor, " layers"], *, dense: bool) -> None:
        """Give summaries their positions, make positions dense if asked, and rotate the keys to them."""
        width = max(self._lengths)
        lengths = torch.tensor(self._lengths, device=self._positions.device)
        present = torch.arange(width, device=lengths.device) < lengths[:, None]
        is_summary = summarizes[:, None] & (
            torch.arange(width, device=lengths.device) == lengths[:, None] - 1
        )
        kept = present & ~is_summary
        positions = self._positions[:, :, :width]
        if dense:
            # An earlier right alignment may have moved the prefix; it begins at 0 again.
            positions[:, :, : self.num_prefix_tokens] = torch.arange(
                self.num_prefix_tokens, device=lengths.device
            )
            positions.copy_(reindex(positions, self.num_prefix_tokens, kept))
        summary = summary_position(positions, kept)
        positions.copy_(torch.where(is_summary[:, None], summary[:, None, None], positions))
        ends = next_position(positions, present)
        if dense:
            # Attention sees differences of positions alone, so moving a whole layer changes no logit.
            positions += right_alignment(ends)[:, None, None]
        # With gaps left open the clock never runs back: a position is used once, whatever was evicted.
        self.next_position = int(ends.max()) if dense else max(self.next_position, int(ends.max()))
        for layer, length in enumerate(self._lengths):
            self.buffers.rotate(layer, self._positions[layer, :, :length])
