"""One stream's memory: raw keys, values and positions of every layer, in buffers allocated once.

Each layer's slots lie in this order: the text prefix, the visual tokens it still holds, and, while a question
is being answered, the question and the answer. The contents change in three methods only: ``append`` (with
``store``, its half that the attention calls layer by layer), ``apply`` and ``rewind``.

The module knows nothing about models and decides nothing: a policy plans, the cache applies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_stream.blocks import BufferBlocks
from hermes_stream.buffers import Buffers, make_buffers
from hermes_stream.errors import CapacityError
from hermes_stream.last_step import LastStep
from hermes_stream.layer_views import LayerViews
from hermes_stream.layout import CacheLayout
from hermes_stream.mark import Mark
from hermes_stream.memory.constants import sent
from hermes_stream.memory.positions import PositionRule, settle
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, RetentionPlan, VisualOrigin
from hermes_stream.memory.summary import merged, new_slots
from hermes_stream.records import Records


class StreamCache:
    """The bounded key-value memory of one stream.

    Keys are stored raw, so that re-indexing is an assignment of integers and a summary key is a plain mean;
    a rotated copy, refreshed when positions change, is what attention reads.

    Args:
        layout: the model's shape.
        capacities: slots of each layer.
        num_prefix_tokens: the first tokens appended are the prefix, which is never evicted.
        growable: double full buffers instead of refusing (for policies without a bound).
        position_rule: how positions change at a compression.
        span: positions that scaled gaps leave; None is half of the model's.
        blocks: where the buffers of several streams lie together; None gives this one its own.

    Attributes:
        buffers: where keys and values lie.
        next_position: the stream's one write clock, the first position that no layer uses on any axis.
        next_frame_position: likewise on axis t alone, behind all frames that came, evicted ones included.
        num_compressions: how often tokens were evicted.
        layers_alike: whether all layers are known to hold the same tokens; sums over layers round by it.
        last_step: within it tokens are moved; one that failed leaves them who knows where.
    """

    def __init__(
        self,
        layout: CacheLayout,
        capacities: Sequence[int],
        *,
        num_prefix_tokens: int,
        growable: bool = False,
        position_rule: PositionRule | None = None,
        span: int | None = None,
        blocks: BufferBlocks | None = None,
    ) -> None:
        self._blocks = None if growable else blocks
        self.layout, self.num_prefix_tokens, self.growable = layout, num_prefix_tokens, growable
        self.position_rule = position_rule or PositionRule()
        self.span = layout.max_positions // 2 if span is None else span
        self.next_position = self.next_frame_position = 0
        self.num_compressions = self._generation = self._next_token_id = self._grid_size = 0
        self._lengths, self._num_visual = [0] * layout.num_layers, [0] * layout.num_layers
        self.layers_alike, self.last_step = True, LastStep()
        self.buffers, self._records = self._allocated(capacities)

    def _allocated(self, capacities: Sequence[int]) -> tuple[Buffers, Records]:
        # All at once: memory is bounded by construction, and captured graphs find every slot where it was.
        shared = self._blocks.take(self.layout, capacities) if self._blocks else None
        return shared or make_buffers(self.layout, capacities), Records(self.layout, max(capacities))

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
        return keys_and_values + layout.num_layers * max(capacities) * 8 * (layout.rotary.num_axes + 5)

    @property
    def num_bytes(self) -> int:
        """Bytes of all buffers, used or not."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def tensors(self) -> list[Tensor]:
        """All that lies on its devices."""
        return [*self.buffers.tensors, *self._records.stored]

    @property
    def records(self) -> dict[str, Tensor]:
        """All that is recorded of each token, by name, slots along the last axis."""
        return self._records.tensors

    def adopt(self, mark: Mark, num_compressions: int) -> None:
        """Become another cache, whose tokens are then filled in (see ``saved_cache``)."""
        self._lengths = [0] * self.layout.num_layers
        self._make_room(max(mark.lengths))
        self._generation, self.num_compressions = mark.generation, num_compressions
        self.rewind(mark)

    def keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the raw keys that a layer holds."""
        return self.buffers.keys(layer_idx, slice(self._lengths[layer_idx]))

    def values(self, layer_idx: int, behind: int = 0) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the values that a layer holds, and those in so many slots behind them."""
        return self.buffers.values(layer_idx, slice(self._lengths[layer_idx] + behind))

    def rotated_keys(self, layer_idx: int, behind: int = 0) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return the keys that a layer holds, rotated to their positions; ``behind`` as for ``values``."""
        return self._rotated(layer_idx, slice(self._lengths[layer_idx] + behind))

    @property
    def num_free_slots(self) -> int:
        """Slots that a text may use which leaves nothing; 0 where they would round its numbers."""
        if self.layout.kv_bits is not None:
            return 0
        return min(slots - used for slots, used in zip(self.buffers.capacities, self._lengths, strict=True))

    def _rotated(self, layer_idx: int, slots: slice) -> Float[Tensor, "kv_heads tokens head_dim"]:
        return self.buffers.rotated_keys(layer_idx, slots, self._records.positions[layer_idx, :, slots])

    def _rotated_of(self, layers: slice, slots: slice) -> Float[Tensor, "layers kv_heads tokens head_dim"]:
        return torch.stack([self._rotated(layer, slots) for layer in range(layers.start, layers.stop)])

    def temporal_patch_ids(self, layer_idx: int) -> Int[Tensor, " tokens"]:
        """Return the temporal patch of each of a layer's prefix (-1) and visual tokens (a view)."""
        end = self.num_prefix_tokens + self._num_visual[layer_idx]
        return self._records.temporal_patch_ids[layer_idx, :end]

    def positions(self, layer_idx: int) -> Int[Tensor, "axes tokens"]:
        """Return the positions of a layer's prefix and visual tokens (a view)."""
        end = min(self._lengths[layer_idx], self.num_prefix_tokens + self._num_visual[layer_idx])
        return self._records.positions[layer_idx, :, :end]

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
            self._records.append(self._lengths, positions, origin, self._next_token_id)
        if origin is not None and origin.grid_indices is not None and count:
            self._grid_size = max(self._grid_size, int(origin.grid_indices.max()) + 1)
        self._lengths = [length + count for length in self._lengths]
        self.advance(positions)
        if origin is not None:
            self._num_visual = [length + count for length in self._num_visual]
            self._next_token_id += count

    def advance(self, positions: Int[Tensor, "axes tokens"]) -> None:
        """Use positions up: those of tokens that come, and those of what a filter dropped, which was seen."""
        # One clock for layers that hold different tokens, so that a question has one position everywhere.
        self.next_position = max(self.next_position, int(positions.max()) + 1)
        self.next_frame_position = max(self.next_frame_position, int(positions[0].max()) + 1)

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
        # Doubled, so that over a whole stream each token is copied about once.
        capacities = [max(2 * capacity, *needed) for capacity in self.buffers.capacities]
        buffers, records = self._allocated(capacities)
        buffers.copy_from(self.buffers)
        records.copy_from(self._records)
        self.buffers, self._records = buffers, records

    def count_grid(self) -> None:
        """Find the largest grid index again, after records were filled from elsewhere."""
        self._grid_size = int(self._records.grid_indices.max()) + 1

    def store(
        self,
        layer_idx: int,
        *,
        raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
        rotated_keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
        behind: int = 0,
    ) -> None:
        """Fill the slots that ``append`` reserved last, in one layer; and so many free ones behind them."""
        start = self._lengths[layer_idx] + behind - raw_keys.shape[1]
        self.buffers.write(layer_idx, start, raw_keys=raw_keys, rotated_keys=rotated_keys, values=values)

    @property
    def is_untouched(self) -> bool:
        """Whether every token that came is still where it was put: nothing evicted, no position changed."""
        return self._generation == 0 and self.last_step.is_whole

    def mark(self) -> Mark:
        """Remember this moment, to rewind to it; a broken memory raises ``BrokenMemoryError``."""
        self.last_step.check()
        return Mark(
            lengths=self.num_tokens,
            num_visual=self.num_visual_tokens,
            next_position=self.next_position,
            next_frame_position=self.next_frame_position,
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
        self.next_position, self.next_frame_position = mark.next_position, mark.next_frame_position
        self._next_token_id = mark.next_token_id

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
        visual = slice(self.num_prefix_tokens, self.num_prefix_tokens + max(self._num_visual))
        return MemoryState(
            num_prefix_tokens=self.num_prefix_tokens,
            **self._records.shown(visual, self._num_visual),
            attention=attention,
            raw_keys=self._visual_part(self.buffers.keys, self.buffers.keys_of) if shows_keys else None,
            rotated_keys=self._visual_part(self._rotated, self._rotated_of) if shows_keys else None,
            values=self._visual_part(self.buffers.values, self.buffers.values_of) if shows_values else None,
            num_held=self.num_visual_tokens,
            grid_size=self._grid_size,
            layers_alike=self.layers_alike,
        )

    def _visual_part(
        self, fetch: Callable[[int, slice], Tensor], fetch_part: Callable[[slice, slice], Tensor]
    ) -> LayerViews:
        width, num_layers = max(self._num_visual), self.layout.num_layers
        slots = slice(self.num_prefix_tokens, self.num_prefix_tokens + width)
        own, part = lambda k: fetch(k, self.visual_slots(k)), lambda layers: fetch_part(layers, slots)
        return LayerViews(own, part, self.buffers.parts, num_layers=num_layers, width=width)

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
        first, held = self.num_prefix_tokens, self._num_visual
        summarizes: Bool[Tensor, " layers"] | None = None
        new: list[tuple[slice, int, int]] = []
        if plan.num_kept is not None and plan.num_new is not None and not any(plan.num_new):
            # Nothing is made of what leaves, so nothing need be known of it.
            num_kept, num_new, evicts = plan.num_kept, plan.num_new, plan.num_kept != tuple(held)
            self._records.retain(first, plan.keep)
            self.buffers.select(first, plan.keep, positions_stay=not plan.reindex)
        else:
            state = self.state()
            # Text tokens of a patch leave without a trace: the mean of a video has no share of "12 seconds".
            evicted = evicted_mask(plan.keep, state.present) & (state.counts > 0)
            summarizes = plan.summarize & evicted.any(dim=1)
            num_kept, num_new, evicts = plan.counted(evicted, summarizes)
            new = list(self.buffers.gaining([first + kept for kept in num_kept], num_new))
            self._retain(plan, state, evicted, summarizes=summarizes, new=new)
        self.layers_alike &= plan.is_shared and not any(num_new)
        self._num_visual = [kept + added for kept, added in zip(num_kept, num_new, strict=True)]
        self._lengths = [first + count for count in self._num_visual]
        self._set_positions(summarizes, new, dense=plan.reindex)
        self._generation += 1
        self.num_compressions += int(evicts)

    def _retain(
        self,
        plan: RetentionPlan,
        state: MemoryState,
        evicted: Bool[Tensor, "layers tokens"],
        *,
        summarizes: Bool[Tensor, " layers"],
        new: Sequence[tuple[slice, int, int]],
    ) -> None:
        """Move kept tokens to the front, and new slots behind them; ``new`` as for ``Records.retain``."""
        first, added = self.num_prefix_tokens, []
        for layers, start, count in new:
            # Before the move, which overwrites tokens that the new slots are means of.
            slots = slice(first, first + evicted.shape[1])
            keys, values = self.buffers.keys_of(layers, slots), self.buffers.values_of(layers, slots)
            leaves = evicted[layers, : keys.shape[2]].to(keys.device)
            made = merged(keys, values, plan.merge, evicted=leaves, layers=layers, num_new=count)
            added.append((layers, start, *made))
        sources, counts = new_slots(plan.merge, state, evicted, summarizes)
        records = self._records
        records.retain(first, plan.keep, new, sources=sources)
        self.buffers.select(first, plan.keep, positions_stay=not plan.reindex)
        for layers, start, keys, values in added:
            self.buffers.write_part(layers, start, raw_keys=keys, values=values)
        for layers, start, count in new:
            slots = slice(start, start + count)
            # Ids stay ascending within a layer, which smoothing relies on: new slots are younger than all.
            ids = torch.arange(self._next_token_id, self._next_token_id + count, device=evicted.device)
            records.token_ids[layers, slots] = ids
            records.counts[layers, slots] = counts[layers, :count]
            if plan.merge is None:
                records.temporal_patch_ids[layers, slots] = records.grid_indices[layers, slots] = -1
        self._next_token_id += max((count for _, _, count in new), default=0)

    def _set_positions(
        self,
        summarizes: Bool[Tensor, " layers"] | None,
        new: Sequence[tuple[slice, int, int]],
        *,
        dense: bool,
    ) -> None:
        """Give summaries their positions, close gaps if asked, and rotate the keys that have new ones."""
        positions, width = self._records.positions, max(self._lengths)
        if not dense and not new:
            return
        if summarizes is None:
            summarizes = torch.zeros(self.layout.num_layers, dtype=torch.bool, device=positions.device)
        placed = settle(
            positions[:, :, :width],
            sent(torch.tensor(self._lengths), positions.device),
            summarizes,
            num_prefix_tokens=self.num_prefix_tokens,
            rule=self.position_rule,
            grid_follows_time=self.layout.grid_follows_time,
            closes_gaps=dense,
            now=self.next_frame_position,
            span=self.span,
        )
        positions[:, :, :width] = placed.positions
        # With gaps left open the clock never runs back: a position is used once, whatever was evicted.
        self.next_position = placed.next_position if dense else max(self.next_position, placed.next_position)
        self.next_frame_position = placed.next_frame_position
        # Others were moved as they are, rotated already.
        first = 0 if dense else min(start for _, start, _ in new)
        self.buffers.rotate(positions[:, :, first:width], first)
