"""Which positions the next tokens of a stream take, and what is noted of where they come from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.memory.constants import sent
from hermes_stream.memory.rope import dense_positions
from hermes_stream.memory.state import RetentionPlan, VisualOrigin
from hermes_stream.models.visual import VisualTokens
from hermes_stream.saved import Saved

_MOST = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPositions:
    """Where a stream's next chunk stands: one video from its beginning on, so that chunks equal the whole.

    Attributes:
        base: position at which the video began, behind the prefix; h and w are counted from it.
        time_shift: what turns time since the beginning into a position on axis t.
        newest_time: time of the newest temporal patch, rounded down, in positions.
        extent: positions that the frames take in height and width.
    """

    base: int
    time_shift: int
    newest_time: int = 0
    extent: int = 0

    @classmethod
    def after_prefix(cls, num_prefix_tokens: int) -> StreamPositions:
        """Return the beginning of a stream."""
        return cls(base=num_prefix_tokens, time_shift=num_prefix_tokens)

    def of_chunk(self, visual: VisualTokens, clock: int) -> Int[Tensor, "axes tokens"]:
        """Return the positions of a chunk in host memory.

        Args:
            visual: the chunk.
            clock: the stream's write clock.
        """
        if visual.time is None:
            return visual.offsets + clock
        positions = visual.offsets + self.base
        positions[0] = visual.time.floor().long()[visual.temporal_patch_index] + self.time_shift
        return positions

    def of_chunk_without_pauses(
        self, visual: VisualTokens, clock: int
    ) -> tuple[Int[Tensor, "axes tokens"], StreamPositions]:
        """Return positions of a chunk whose patches follow the clock one by one, and what is behind it.

        For pauses in the stream that are longer than the model's positions.
        """
        positions = self.of_chunk(visual, clock)
        if visual.time is None:
            return positions, self
        ranks = dense_positions(visual.time.floor()[None], 0)[0].long()
        positions[0] = clock + ranks[visual.temporal_patch_index]
        behind = self.behind(visual)
        return positions, replace(behind, time_shift=clock + int(ranks[-1]) - behind.newest_time)

    def behind(self, visual: VisualTokens) -> StreamPositions:
        """Return where the chunk behind this one stands."""
        if visual.time is None or not len(visual):
            return self
        extent = int(visual.offsets[1:].max()) + 1
        return replace(self, newest_time=math.floor(float(visual.time[-1])), extent=max(self.extent, extent))

    def behind_newest(self, next_frame_position: int) -> StreamPositions:
        """Return the same with time going on from the newest frame, wherever that stands now.

        After positions changed, or a summary took the clock's, presentation times alone would place new
        tokens among or far behind those that are remembered.

        Args:
            next_frame_position: first position of axis t behind it.
        """
        return replace(self, time_shift=next_frame_position - 1 - self.newest_time)

    def saved(self) -> Saved:
        """Return all of it."""
        return Saved(values=asdict(self))

    @classmethod
    def restored(cls, saved: Saved) -> StreamPositions:
        """Return what was saved.

        Raises:
            SnapshotError: it is none.
        """
        names = [field.name for field in fields(cls)]
        return cls(**{name: saved.integer(name, least=-_MOST, most=_MOST) for name in names})

    @property
    def behind_frames(self) -> int:
        """First position behind the frames' height and width, whatever the time."""
        return self.base + self.extent


def text_positions(num_axes: int, num_tokens: int, start: int) -> Int[Tensor, "axes tokens"]:
    """Return positions of text in host memory: counted on, the same on every axis."""
    return torch.arange(start, start + num_tokens).expand(num_axes, -1)


def origin_of(visual: VisualTokens, kept: Bool[Tensor, " tokens"], first_id: int) -> VisualOrigin:
    """Number the temporal patches of which something is kept one by one."""
    patches = visual.temporal_patch_index[kept]
    return VisualOrigin(
        temporal_patch_ids=first_id + patches.unique(return_inverse=True)[1],
        pts_seconds=visual.seconds[patches],
        grid_indices=visual.grid_indices[kept],
        is_text=visual.is_text[kept],
    )


def closing_gaps(cache: StreamCache) -> RetentionPlan:
    """Return the plan that evicts nothing and closes the gaps between positions."""
    counts = sent(torch.tensor(cache.num_visual_tokens), cache.layout.device)
    slots = torch.arange(max(cache.num_visual_tokens), device=counts.device)
    nothing: Bool[Tensor, " layers"] = torch.zeros_like(counts, dtype=torch.bool)
    return RetentionPlan(
        keep=torch.where(slots < counts[:, None], slots, -1),
        summarize=nothing,
        reindex=True,
        is_shared=len(set(cache.num_visual_tokens)) == 1,
    )
