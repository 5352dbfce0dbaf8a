"""A stream's memory at work: chunks are folded in, compressed when over budget, and extended by questions.

What takes a forward is ``Work``: it asks for forwards and is sent their results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.attention import Observation, Segment
from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState, VisualOrigin
from hermes_stream.models.visual import VisualTokens
from hermes_stream.policies.text_tokens import plan_with_text_tokens
from hermes_stream.retrieval.retriever import Retriever
from hermes_stream.retrieval.workspace import Workspace
from hermes_stream.stream.capacity import Capacity, keep_everything
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.frame_buffer import FrameBuffer, group_by_size, num_tokens
from hermes_stream.stream.frame_encoder import FrameEncoder
from hermes_stream.stream.guidance import guidance_of, read_guidance, zero_weights
from hermes_stream.stream.positions import StreamPositions, origin_of, text_positions
from hermes_stream.stream.token_filtering import TokenFiltering
from hermes_stream.stream.work import Work, read, run, speak
from hermes_stream.video.frame import Frame

_SLICE_TOKENS = 1024


class StreamMemory:
    """Joins model, policy and cache for one stream. The prefix is prefilled when it is made.

    Args:
        executor: runs the model for what is not work: the prefix.
        fit: what the stream takes of positions and memory, its policy included.
        token_filter: what drops visual tokens before they are prefilled; None drops none.
        still_below: see ``FrameEncoder``; None looks at every frame.

    Attributes:
        cache: keys, values and positions.
        policy: what is kept.
        text_tokens: room for a question and its answer.
        num_frames: pictures folded in so far.
        num_seen: tokens that they made so far.
        eyes: what looks at the frames.
        last_conversation: last question and answer, which steer later guidance.
    """

    def __init__(
        self,
        executor: Executor,
        fit: Capacity,
        *,
        token_filter: TokenFilter | None = None,
        still_below: float | None = None,
    ) -> None:
        model = executor.model
        self._executor, self.model, self._fit, self.policy = executor, model, fit, fit.policy
        self.text_tokens = fit.text_tokens
        self.num_frames = self.num_seen = self._num_encoded = self._num_entered = 0
        self.eyes = FrameEncoder(executor, still_below)
        self._sieve = TokenFiltering(token_filter) if token_filter else None
        self._has_text_tokens = False
        self._start_seconds = 0.0
        self.last_conversation: str | None = None
        self._budgets = self.policy.layer_budgets(model.layout.num_layers)
        self.cache = self._prefilled_cache()
        self._beginning = self.cache.mark()
        self._place = StreamPositions.after_prefix(self.cache.num_prefix_tokens)
        rebuilds = self.policy.rebuilds_at_question and self.policy.budget_tokens is not None
        self._album = FrameBuffer(model, self.policy.budget_tokens or 0) if rebuilds else None
        self._retriever = self._made_retriever()

    def _prefilled_cache(self) -> StreamCache:
        prefix_ids = self.model.chat.prefix_ids
        cache = StreamCache(
            self._fit.layout,
            self._fit.capacities,
            num_prefix_tokens=len(prefix_ids),
            growable=self._budgets is None,
        )
        if prefix_ids:
            segment = self._text(cache, self.model.embed(prefix_ids))
            run(self._executor, read([segment], "prefill"))
        self._executor.prepare(cache)
        return cache

    def _text(
        self,
        cache: StreamCache | Workspace,
        embeddings: Float[Tensor, "tokens hidden"],
        *,
        start: int | None = None,
        recall: Callable[[int, Tensor], None] | None = None,
        observation: Observation | None = None,
    ) -> Segment:
        """Reserve slots for text, and return it as a segment."""
        start = cache.next_position if start is None else start
        positions = text_positions(self.model.layout.rotary.num_axes, len(embeddings), start)
        cache.append(positions)
        return Segment(
            cache=cache, embeddings=embeddings, positions=positions, recall=recall, observation=observation
        )

    def extending(
        self, embeddings: Float[Tensor, "tokens hidden"], observation: Observation | None = None
    ) -> Work[Float[Tensor, " vocabulary"]]:
        """Append question or answer tokens, and get the logits of the next one; within ``asking``.

        Args:
            embeddings: of the tokens.
            observation: given, it reads what the newest of them attend to.

        Raises:
            CapacityError: the room for text is used up.
        """
        if self._retriever is None:
            start = self._question_start()
            segment = self._text(self.cache, embeddings, start=start, observation=observation)
            return (yield from speak(segment))
        desk = self._retriever.desk
        recall = self._retriever.recall if desk.next_position == desk.num_context_tokens else None
        return (yield from speak(self._text(desk, embeddings, recall=recall, observation=observation)))

    @property
    def max_read_tokens(self) -> int:
        """Most tokens that a layer shows to a question, the prefix included."""
        return (
            max(self.cache.num_tokens) if self._retriever is None else self._retriever.desk.num_context_tokens
        )

    def remembered(self) -> MemoryState:
        """Return what questions read; where they retrieve, what the last one read."""
        return self.cache.state() if self._retriever is None else self._retriever.state()

    def _question_start(self) -> int | None:
        """Return where a question's next tokens stand if that is not the write clock (see ``ModelCard``)."""
        cache = self.cache
        if not cache.is_untouched or self.model.card.text_after_video == "clock":
            return None
        asked = max(cache.num_tokens) - cache.num_prefix_tokens - max(cache.num_visual_tokens)
        return self._place.behind_picture + asked

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Leave no trace of a question and its answer, however this ends."""
        mark = self.cache.mark()
        try:
            yield
        finally:
            if self._retriever is None:
                self.cache.rewind(mark)
            else:
                self._retriever.desk.clear()

    def folding(self, frames: Sequence[Frame]) -> Work[None]:
        """Take a chunk in, and compress if the budget is exceeded. All or nothing.

        Args:
            frames: at least one picture, at most as many as fit a chunk, all of one size. A temporal patch
                that they do not fill is completed by repeating the last, and is final.

        Raises:
            CapacityError: the positions are used up and the policy has no bound.
        """
        if not self.num_frames:
            self._start_seconds = frames[0].pts_seconds
        if self._album is None:
            self._num_entered += yield from self._enter(frames, self._num_entered)
            self._num_encoded += -(-len(frames) // self.model.card.frames_per_temporal_patch)
        else:
            self._album.add(frames)
            self._forget_video()
        self.num_frames += len(frames)
        self.num_seen += num_tokens(self.model, frames)

    def _forget_video(self) -> None:
        if self.cache.is_untouched:
            self.cache.rewind(self._beginning)
        else:
            self.cache = self._prefilled_cache()
            self._beginning = self.cache.mark()
        self._place = StreamPositions.after_prefix(self.cache.num_prefix_tokens)
        self._num_encoded = 0
        if self._sieve:
            self._sieve.forget()

    def recalling(self) -> Work[None]:
        """Do what the policy leaves for the moment of a question: nothing, or prefill the held pictures.

        All or nothing; a second call before the next frame finds it done.
        """
        if not self._album or max(self.cache.num_visual_tokens):
            return
        pictures = list(self._album)
        together = self.model.card.frames_per_temporal_patch
        number = (self.num_frames - len(pictures)) // together
        self._start_seconds = pictures[0].pts_seconds
        try:
            for same in group_by_size(pictures):
                for start in range(0, len(same), self._fit.chunk_frames):
                    chunk = same[start : start + self._fit.chunk_frames]
                    number += yield from self._enter(chunk, number)
                    self._num_encoded += -(-len(chunk) // together)
        except BaseException:
            self._forget_video()
            raise

    @property
    def num_visual_tokens(self) -> tuple[int, ...]:
        """Visual tokens that each layer holds, or will hold when a question comes."""
        if self._album is None:
            return self.cache.num_visual_tokens
        return (self._album.num_tokens,) * self.model.layout.num_layers

    @property
    def num_still_frames(self) -> int:
        """Frames that were not looked at, because they had not changed."""
        return self.eyes.num_still_frames

    @property
    def num_dropped(self) -> int:
        """Visual tokens that the filter dropped so far."""
        return self._sieve.num_dropped if self._sieve else 0

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory held for questions to come."""
        archived = self._retriever.host_bytes if self._retriever else 0
        return archived + (self._album.num_bytes if self._album is not None else 0)

    @property
    def num_archived_tokens(self) -> int:
        """Visual tokens of each layer in the archive."""
        return self._retriever.num_archived_tokens if self._retriever else 0

    @property
    def retrieval_seconds(self) -> float:
        """What the last question took to choose and copy what it retrieves."""
        return self._retriever.seconds if self._retriever else 0.0

    @property
    def device_bytes(self) -> int:
        """Bytes of the stream's buffers beside the model: the cache, and the desk of retrieved tokens."""
        return self.cache.num_bytes + (self._retriever.desk.num_bytes if self._retriever else 0)

    def _made_retriever(self) -> Retriever | None:
        retrieval = self.policy.retrieval()
        if retrieval is None:
            return None
        most = self.model.layout.max_positions - self._fit.text_positions
        return Retriever(self.cache, retrieval, max_positions=most, text_tokens=self.text_tokens)

    def _enter(self, frames: Sequence[Frame], first_number: int) -> Work[int]:
        """Encode, filter and prefill pictures, compress over budget; rewind if that fails.

        Returns:
            How many frames entered: those of which a filter left something; they are numbered one by one.
        """
        features, sight = yield from self.eyes.seeing(frames)
        visual = self.model.lay_out(
            features, frames, start_seconds=self._start_seconds, num_patches_before=self._num_encoded
        )
        self._has_text_tokens |= bool(visual.is_text.any())
        kept, sifting = torch.ones(len(visual), dtype=torch.bool), None
        if self._sieve:
            visual, kept, sifting = self._sieve.sift(visual)
        positions, place = self._placed(visual)
        origin = origin_of(visual, kept, first_number)
        mark = self.cache.mark()
        try:
            observation = yield from self._prefill(visual.select(kept), positions[:, kept], origin)
            yield from self._compress(observation)
        except BaseException:
            self.cache.rewind(mark)
            raise
        is_moved = mark.generation != self.cache.mark().generation
        self._place = place.moved(self.cache.next_position) if is_moved else place
        self.eyes.commit(sight)
        if self._sieve and sifting:
            self._sieve.commit(sifting)
        return len(origin.temporal_patch_ids.unique())

    def _placed(self, visual: VisualTokens) -> tuple[Int[Tensor, "axes tokens"], StreamPositions]:
        """Return a chunk's positions and the place behind it; close gaps where they would pass the limit.

        Paper: sec. 3.3, lazy re-indexing
        Differs: the released code looks at the limit when the chunk is in already; here chunk, guidance,
            question and answer must fit before.
        """
        limit = self.model.layout.max_positions - self._fit.text_positions
        positions = self._place.positions(visual, self.cache.next_position)
        if int(positions.max()) < limit:
            return positions, self._place.after(visual)
        self.cache.apply(keep_everything(self.cache))
        self._place = self._place.moved(self.cache.next_position)
        positions = self._place.positions(visual, self.cache.next_position)
        if int(positions.max()) < limit:
            return positions, self._place.after(visual)
        positions, place = self._place.squeezed(visual, self.cache.next_position)
        if int(positions.max()) >= limit:
            raise CapacityError(
                f"the stream holds {max(self.cache.num_tokens)} tokens; {len(visual)} more and "
                f"{self._fit.text_positions} for text exceed the model's {self.model.layout.max_positions} "
                f"positions; use a policy with a budget, such as hermes, or a shorter stream"
            )
        return positions, place

    def _prefill(
        self, visual: VisualTokens, positions: Int[Tensor, "axes tokens"], origin: VisualOrigin
    ) -> Work[Observation | None]:
        """Let a chunk enter the cache in slices; observe its newest tokens where the policy wants that."""
        observation = None
        for slots in self._slices(len(visual)):
            self.cache.append(positions[:, slots], origin.select(slots))
            if slots.stop == len(visual):
                observation = self._observation()
            segment = Segment(
                cache=self.cache,
                embeddings=visual.embeddings[slots],
                positions=positions[:, slots],
                observation=observation,
                deepstack=None if visual.deepstack is None else visual.deepstack[:, slots],
            )
            yield from read([segment], "prefill")
        return observation

    def _slices(self, num_tokens: int) -> list[slice]:
        """Divide a chunk into forwards of about equal length; a policy that observes it sees it whole."""
        count = -(-num_tokens // _SLICE_TOKENS)
        if count > 1 and (guidance := guidance_of(self.model, self.policy, None)):
            count = 1 if guidance.observed_tokens else count
        ends = [num_tokens * k // count for k in range(count + 1)] if num_tokens else []
        return [slice(first, end) for first, end in pairwise(ends)]

    def _is_over_budget(self) -> bool:
        if self._budgets is None:
            return False
        prefix = self.cache.num_prefix_tokens
        held = zip(self.cache.num_visual_tokens, self._budgets, strict=True)
        return any(self.policy.exceeds(count, budget, prefix) for count, budget in held)

    def _observation(self) -> Observation | None:
        guidance = guidance_of(self.model, self.policy, None) if self._is_over_budget() else None
        if guidance is None or not guidance.observed_tokens:
            return None
        return Observation(weights=zero_weights(self.cache), num_tokens=guidance.observed_tokens)

    def _compress(self, observation: Observation | None) -> Work[None]:
        if not self._is_over_budget():
            return
        weights = observation.weights if observation else None
        if weights is None and (guidance := guidance_of(self.model, self.policy, self.last_conversation)):
            weights = yield from read_guidance(self.model, self.cache, guidance, self._fit.text_positions)
        if weights is not None:
            first = self.cache.num_prefix_tokens
            weights = weights[:, first : first + max(self.cache.num_visual_tokens)]
        with self._executor.timing("compress"):
            self._retain(weights)

    def _retain(self, attention: Float[Tensor, "layers tokens"] | None) -> None:
        """Let the policy plan, the archive receive, the cache apply."""
        reads = self.policy.facts.reads
        state = self.cache.state(attention, shows_keys="keys" in reads, shows_values="values" in reads)
        plan = plan_with_text_tokens(self.policy, state) if self._has_text_tokens else self.policy.plan(state)
        leaving = self._retriever.receive(plan) if self._retriever else None
        self.cache.apply(plan)
        if self._retriever and leaving:
            self._retriever.commit(leaving)

    def remember_conversation(self, question: str, answer: str) -> None:
        """Let the last question and answer steer later guidance, and only that.

        Paper: app. B, last_conv
        """
        chat = self.model.chat
        ids = chat.encode(f"Question: {question} Answer: {answer}")[: self._fit.conversation_tokens]
        self.last_conversation = chat.decode(ids)
