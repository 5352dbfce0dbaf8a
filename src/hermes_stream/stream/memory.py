"""A stream's memory at work: chunks enter the cache, and are compressed when over budget.

What takes a forward is ``Work``: it asks for forwards and is sent their results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.attention_weights import Observation
from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.last_step import Uninterrupted
from hermes_stream.memory.newest import newest_slots
from hermes_stream.memory.state import MemoryState, RetentionPlan, VisualOrigin
from hermes_stream.models.visual import VisualTokens
from hermes_stream.policies.asked import plan_of
from hermes_stream.policies.text_tokens import plan_with_text_tokens
from hermes_stream.retrieval.archive import EvictedTokens
from hermes_stream.retrieval.retriever import Retriever
from hermes_stream.saved import Saved
from hermes_stream.saved_cache import restore_cache, saved_cache
from hermes_stream.segments import Segment
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.context import ContextUsage, question_segment
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.frame_encoder import FrameEncoder
from hermes_stream.stream.guidance import StreamGuidance, zero_weights
from hermes_stream.stream.memory_budget import MemoryBudget
from hermes_stream.stream.positions import StreamPositions, closing_gaps, origin_of, text_positions
from hermes_stream.stream.token_filtering import TokenFiltering
from hermes_stream.stream.work import Work, forward
from hermes_stream.video.frame import Frame

_SLICE_TOKENS = 1024


class StreamMemory:
    """Joins model, policy and cache for one stream; what most questions read (``QuestionContext``).

    The prefix is prefilled when it is made.

    Args:
        executor: runs the model for what is not work: the prefix.
        capacity: what the stream takes of positions and memory, its policy included.
        token_filter: what drops visual tokens before they are prefilled; None drops none.
        still_below: see ``FrameEncoder``; None encodes every frame.

    Attributes:
        model: the model.
        policy: what is kept.
        cache: keys, values and positions.
        encoder: turns frames into features.
        filtering: drops visual tokens before they are prefilled.
        guidance: what is asked of the memory before it is compressed.
        retriever: is given what a compression evicts; None lets it go.
    """

    def __init__(
        self,
        executor: Executor,
        capacity: Capacity,
        *,
        token_filter: TokenFilter | None = None,
        still_below: float | None = None,
    ) -> None:
        self.model, self.policy = executor.model, capacity.policy
        self._executor, self._capacity = executor, capacity
        self.encoder = FrameEncoder(executor, still_below)
        self.filtering = TokenFiltering(token_filter)
        self.guidance = StreamGuidance(
            self.model,
            self.policy,
            max_tokens=capacity.text_positions,
            conversation_tokens=capacity.conversation_tokens,
        )
        self.retriever: Retriever | None = None
        card, num_layers = self.model.card, self.model.layout.num_layers
        self._budget = MemoryBudget.of(self.policy, card, num_layers, capacity.chunk_tokens)
        self._num_patches = self._num_kept_patches = 0
        self._has_text_tokens = False
        self._start_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        """Make the cache, and prefill the prefix."""
        prefix_ids = self.model.chat.prefix_ids
        self.cache = StreamCache(
            self._capacity.layout,
            self._capacity.slots_of_layer,
            num_prefix_tokens=len(prefix_ids),
            growable=self._budget.layers is None,
            position_rule=self.policy.position_rule,
            span=(self._capacity.chunk_positions - len(prefix_ids)) // 2,
            blocks=self._executor.blocks,
        )
        if prefix_ids:
            prefix = question_segment(self.cache, self.model.embed(prefix_ids))
            self._executor.run(forward([prefix], "prefill"))
        self._executor.prepare(self.cache)
        self._beginning = self.cache.mark()
        self._positions = StreamPositions.after_prefix(len(prefix_ids))

    def fold(
        self, frames: Sequence[Frame], text_tokens: int | None, took: Callable[[], object]
    ) -> Work[None]:
        """Take a chunk in, and compress if the budget is exceeded. All or nothing.

        Args:
            frames: at least one, at most a chunk, all of one size. A temporal patch that they do not fill is
                completed by repeating the last, and is final.
            text_tokens: of a question that waits; where it fits the free slots, the compression is put off.
            took: see ``QuestionContext.fold``.

        Raises:
            CapacityError: the positions are used up and the policy has no bound.
        """

        def is_in(num_patches: int) -> None:
            self._num_kept_patches += num_patches
            took()

        yield from self.enter(frames, self._num_kept_patches, text_tokens, is_in)

    def enter(
        self,
        frames: Sequence[Frame],
        first_id: int,
        text_tokens: int | None = None,
        is_in: Callable[[int], object] = lambda _: None,
    ) -> Work[int]:
        """Encode, filter and prefill frames, compress over budget; rewind if that fails.

        Args:
            frames: see ``fold``.
            first_id: number of the first temporal patch.
            text_tokens: see ``fold``.
            is_in: told the result in the same last step.

        Returns:
            How many temporal patches entered: those of which a filter left something, numbered one by one.
        """
        if self._num_patches == 0:
            self._start_seconds = frames[0].pts_seconds
        features = yield from self.encoder.encode(frames)
        visual = self.model.lay_out(
            features, frames, start_seconds=self._start_seconds, num_patches_before=self._num_patches
        )
        self._has_text_tokens |= bool(visual.is_text.any())
        visual, kept = self.filtering.filter(visual)
        positions, behind = self._place(visual)
        origin = origin_of(visual, kept, first_id)
        compresses = not self._may_put_off(len(origin.temporal_patch_ids), text_tokens)
        num_patches, has_begun, mark = len(origin.temporal_patch_ids.unique()), False, self.cache.mark()
        try:
            self.cache.advance(positions)
            entering = self._prefill(visual.select(kept), positions[:, kept], origin, compresses)
            weights = yield from entering
            compress = (yield from self._compression(weights)) if compresses else None
            with self.cache.last_step:
                has_begun, self._positions = True, behind
                if compress is not None:
                    compress()
                self.encoder.commit()
                self.filtering.commit()
                self._num_patches += visual.num_temporal_patches
                is_in(num_patches)
        except BaseException:
            # also when the work is abandoned: the frames wait, and the next try must find the cache as it was
            if not has_begun:
                self.cache.rewind(mark)
            raise
        return num_patches

    def needs_compression(self, num_new_tokens: int) -> bool:
        """Tell whether a compression was put off, and so many visual tokens do not fit before it."""
        return self._budget.needs_compression(self.cache, num_new_tokens)

    def compress(self) -> Work[None]:
        """Do a compression that was put off, if there is one."""
        compress = yield from self._compression(None)
        if compress is not None:
            with self.cache.last_step:
                compress()

    def _may_put_off(self, num_new_tokens: int, text_tokens: int | None) -> bool:
        """Tell whether a chunk and the text that waits for it fit the slots that are free."""
        if text_tokens is None or self._budget.layers is None:
            return False
        if self.guidance.observes:
            return False  # what it wants to know is seen only while the chunk is written
        return self._budget.fits(self.cache, num_new_tokens + text_tokens)

    def forget_video(self) -> None:
        """Go back to the prefix alone."""
        if self.cache.is_untouched:
            self.cache.rewind(self._beginning)
            self._positions = StreamPositions.after_prefix(self.cache.num_prefix_tokens)
        else:
            self._begin()
        self._num_patches = self.encoder.num_still_frames = 0
        self.filtering.forget()

    def _place(self, visual: VisualTokens) -> tuple[Int[Tensor, "axes tokens"], StreamPositions]:
        """Return a chunk's positions and what is behind it; close gaps where they would pass the limit.

        Paper: sec. 3.3, lazy re-indexing
        Differs: the released code looks at the limit when the chunk is in already; here chunk, guidance,
            question and answer must fit before.
        """
        limit = self._capacity.chunk_positions
        positions = self._positions.of_chunk(visual, self.cache.next_position)
        if int(positions.max()) < limit:
            return positions, self._positions.behind(visual)
        with self.cache.last_step:
            self._apply(closing_gaps(self.cache))
        positions = self._positions.of_chunk(visual, self.cache.next_position)
        if int(positions.max()) < limit:
            return positions, self._positions.behind(visual)
        positions, behind = self._positions.of_chunk_without_pauses(visual, self.cache.next_position)
        if int(positions.max()) >= limit:
            raise CapacityError(
                f"the stream holds {max(self.cache.num_tokens)} tokens; {len(visual)} more and "
                f"{self._capacity.text_positions} for text exceed the model's "
                f"{self.model.layout.max_positions} positions; use a policy with a budget, such as hermes, "
                f"or a shorter stream"
            )
        return positions, behind

    def _prefill(
        self, visual: VisualTokens, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin, guided: bool
    ) -> Work[Float[Tensor, "layers slots"] | None]:
        """Let a chunk enter the cache in slices; return the attention that guides a compression, if any.

        What the policy wants to know is read in the last slice's forward, which sees all that is held then.
        """
        weights = None
        for slots in self._slices(len(visual)):
            self.cache.append(positions[:, slots], origin.select(slots))
            observation, probes = None, list[Segment]()
            plans = guided and slots.stop == len(visual) and self._budget.is_exceeded(self.cache)
            guidance = self.guidance.wanted if plans else None
            if guidance is not None and guidance.observed_tokens:
                weights = zero_weights(self.cache)
                observation = Observation(weights=weights, num_tokens=guidance.observed_tokens)
            elif guidance is not None and guidance.advances:
                probes, weights = self.guidance.segments(self.cache, guidance)
            segment = Segment(
                cache=self.cache,
                embeddings=visual.embeddings[slots],
                positions=positions[:, slots],
                observation=observation,
                deepstack=None if visual.deepstack is None else visual.deepstack[:, slots],
            )
            yield from forward([segment, *probes], "prefill")
        return weights

    def _slices(self, num_tokens: int) -> list[slice]:
        """Divide a chunk into forwards of about equal length; a policy that observes it sees it whole."""
        count = -(-num_tokens // _SLICE_TOKENS)
        count = 1 if count > 1 and self.guidance.observes else count
        ends = [num_tokens * k // count for k in range(count + 1)] if num_tokens else []
        return [slice(first, end) for first, end in pairwise(ends)]

    def _compression(self, weights: Float[Tensor, "layers slots"] | None) -> Work[Callable[[], None] | None]:
        """Let the policy plan and the retriever receive, if over budget; return what then moves tokens."""
        if not self._budget.is_exceeded(self.cache):
            return None
        if weights is None and (guidance := self.guidance.wanted):
            weights = yield from self.guidance.read(self.cache, guidance)
        with self._executor.timing("compress"):
            plan = self._plan(weights)
            return partial(self._apply, plan, self.retriever.receive(plan) if self.retriever else None)

    def _apply(self, plan: RetentionPlan, evicted: EvictedTokens | None = None) -> None:
        with self._executor.timing("compress"):
            self.cache.apply(plan)
            if self.retriever and evicted:
                self.retriever.commit(evicted)
        self._positions = self._positions.behind_newest(self.cache.next_frame_position)

    def _plan(self, weights: Float[Tensor, "layers slots"] | None) -> RetentionPlan:
        if weights is not None:
            first = self.cache.num_prefix_tokens
            weights = weights[:, first : first + max(self.cache.num_visual_tokens)]
        reads = self.policy.facts.reads
        state = self.cache.state(weights, shows_keys="keys" in reads, shows_values="values" in reads)
        ask = plan_with_text_tokens if self._has_text_tokens else plan_of
        return ask(self.policy, state)

    def prepare(self) -> Work[None]:
        """Do nothing: all that a question reads is there."""
        yield from ()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Leave no trace of a question and its answer, however this ends."""
        mark = self.cache.mark()
        try:
            yield
        finally:
            with Uninterrupted():
                self.cache.rewind(mark)

    def extend(
        self, embeddings: Float[Tensor, "tokens hidden"], observation: Observation | None = None
    ) -> Segment:
        """Reserve slots behind the memory for text, and return it as a segment."""
        start = self._question_start()
        return question_segment(self.cache, embeddings, start=start, observation=observation)

    def beside(
        self,
        embeddings: Float[Tensor, "tokens hidden"],
        lengths: tuple[int, ...],
        newest_seconds: tuple[float | None, ...] = (),
    ) -> Segment:
        """Return texts that each stand where a question would, and leave nothing there."""
        clock, axes = self._question_start(), self.cache.layout.rotary.num_axes
        start = self.cache.next_position if clock is None else clock
        positions = torch.cat([text_positions(axes, count, start) for count in lengths], dim=1)
        sees = newest_slots(self.cache.state(), newest_seconds) if any(newest_seconds) else None
        return Segment(
            cache=self.cache, embeddings=embeddings, positions=positions, branches=lengths, sees=sees
        )

    def _question_start(self) -> int | None:
        """Return where a question's next tokens stand if that is not the write clock (see ``ModelCard``)."""
        cache = self.cache
        if not cache.is_untouched or self.model.card.text_after_video == "clock":
            return None
        num_text_tokens = max(cache.num_tokens) - cache.num_prefix_tokens - max(cache.num_visual_tokens)
        return self._positions.behind_frames + num_text_tokens

    def state(self) -> MemoryState:
        """Return what a question reads of the video."""
        return self.cache.state()

    def saved(self) -> Saved:
        """Return the memory, and what is known of the stream so far."""
        return Saved(
            values={
                "num_patches": self._num_patches,
                "num_kept_patches": self._num_kept_patches,
                "has_text_tokens": self._has_text_tokens,
                "start_seconds": self._start_seconds,
                "last_conversation": self.guidance.last_conversation,
            },
            parts={
                "cache": saved_cache(self.cache),
                "positions": self._positions.saved(),
                "encoder": self.encoder.saved(),
                "filtering": self.filtering.saved(),
            },
        )

    def restore(self, saved: Saved) -> None:
        """Become another memory of the same model and capacity.

        Raises:
            SnapshotError: what was saved does not fit, or contradicts itself.
        """
        self._num_patches = saved.integer("num_patches")
        self._num_kept_patches = saved.integer("num_kept_patches")
        self._has_text_tokens = saved.boolean("has_text_tokens")
        self._start_seconds = saved.number("start_seconds")
        self.guidance.last_conversation = saved.text("last_conversation")
        restore_cache(self.cache, saved.part("cache"))
        self._positions = StreamPositions.restored(saved.part("positions"))
        token, patch_tokens = self.model.embed([0]), self.model.card.tokens_per_temporal_patch
        self.encoder.restore(saved.part("encoder"))
        self.filtering.restore(saved.part("filtering"), token, patch_tokens)

    def num_prefill_tokens(self, num_new_tokens: int) -> int:
        """Return what frames that wait take: there is nothing else to prepare."""
        return num_new_tokens

    @property
    def max_context_tokens(self) -> int:
        """Tokens that a layer shows to a question, at most; the prefix included."""
        return max(self.cache.num_tokens)

    @property
    def usage(self) -> ContextUsage:
        """What the memory holds."""
        held, over = self.cache.num_visual_tokens, self._budget.num_over(self.cache)
        return ContextUsage(num_visual_tokens=held, num_over_budget=over, device_bytes=self.cache.num_bytes)
