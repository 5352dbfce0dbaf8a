"""A stream's memory at work: chunks are folded in, compressed when over budget, and extended by questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hermes_stream.attention import Observation, Probe, Segment, forward
from hermes_stream.cache import StreamCache, VisualOrigin
from hermes_stream.errors import CapacityError
from hermes_stream.filters.base import Past, TokenFilter
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import TURN_END, Guidance, MemoryPolicy
from hermes_stream.stream.desk import Desk
from hermes_stream.stream.fitting import keep_everything, within
from hermes_stream.stream.retriever import Retriever
from hermes_stream.video.frame import Frame

_CONVERSATION_TOKENS = 256


class StreamMemory:
    """Joins model, policy and cache for one stream. The prefix is prefilled when it is made.

    Args:
        model: a loaded model.
        policy: what is kept.
        chunk_frames: most frames that are folded in at once.
        text_tokens: room for a question and its answer; None takes an eighth of the model's positions, at
            most 2,048.
        token_filter: what drops visual tokens before they are prefilled; None drops none.

    Attributes:
        cache: keys, values and positions.
        policy: what is kept; its budget is lowered where the model's positions do not hold it.
        chunk_frames: the same, lowered where a chunk would take more than half of the model's positions.
        text_tokens: room for a question and its answer.
        num_frames: frames folded in so far.
        num_dropped: visual tokens that the filter dropped so far.
        last_conversation: last question and answer, which steer later guidance.

    Raises:
        CapacityError: two frames and text do not fit the model's positions.
        ValueError: an argument is below 1.
    """

    def __init__(
        self,
        model: VideoModel,
        policy: MemoryPolicy,
        *,
        chunk_frames: int,
        text_tokens: int | None,
        token_filter: TokenFilter | None = None,
    ) -> None:
        if chunk_frames < 1:
            raise ValueError(f"chunk_frames must be at least 1, got {chunk_frames}")
        if text_tokens is not None and text_tokens < 1:
            raise ValueError(f"text_tokens must be at least 1, got {text_tokens}")
        self.model, self.policy = model, policy
        self.text_tokens = text_tokens or min(2048, model.layout.max_positions // 8)
        self.num_frames = self.num_dropped = self._num_entered = 0
        self._filter = token_filter
        self._past: Past | None = None
        self.last_conversation: str | None = None
        self._text_positions = max(self.text_tokens, self._longest_guidance())
        self._fit(policy, chunk_frames)
        self._budgets = self.policy.layer_budgets(model.layout.num_layers)
        self.cache = self._prefilled_cache()
        self._pictures = self._room_for_pictures()
        self._beginning = self.cache.mark()
        self._retriever = self._made_retriever()

    def _longest_guidance(self) -> int:
        """Return the positions that the longest guidance prompt may take, two conversations included."""
        guidance = self._guidance(".")
        if guidance is None or not guidance.prompts:
            return 0
        longest = max(len(self.model.chat.encode(text)) for text in guidance.prompts)
        return longest + 2 * self._conversation_tokens

    @property
    def _conversation_tokens(self) -> int:
        return min(_CONVERSATION_TOKENS, self.text_tokens // 2)

    def _guidance(self, last_conversation: str | None) -> Guidance | None:
        card, chat = self.model.card, self.model.chat
        num_layers = self.model.layout.num_layers
        guidance = self.policy.guidance(num_layers, card.guidance_prompts, last_conversation)
        if guidance is None:
            return None
        prompts = tuple(text.replace(TURN_END, chat.after_question) for text in guidance.prompts)
        return replace(guidance, prompts=prompts)

    def _fit(self, policy: MemoryPolicy, chunk_frames: int) -> None:
        """Lower chunk and budget where the model's positions do not hold prefix, both, and text together."""
        layout, per_frame = self.model.layout, self.model.card.tokens_per_frame
        fixed = len(self.model.chat.prefix_ids) + self._text_positions + 1
        room = layout.max_positions - fixed
        if room < 2 * per_frame:
            raise CapacityError(
                f"prefix and text take {fixed} of the model's {layout.max_positions} positions; that leaves "
                f"no room for two frames of {per_frame} tokens; lower text_tokens"
            )
        self.chunk_frames = min(chunk_frames, room // 2 // per_frame)
        self.policy = within(policy, layout.num_layers, room - self.chunk_frames * per_frame)

    def _prefilled_cache(self) -> StreamCache:
        prefix_ids, layout = self.model.chat.prefix_ids, self.model.layout
        room = len(prefix_ids) + self.chunk_frames * self.model.card.tokens_per_frame + self.text_tokens
        budgets = self._budgets or (0,) * layout.num_layers
        cache = StreamCache(
            layout,
            [budget + room for budget in budgets],
            num_prefix_tokens=len(prefix_ids),
            growable=self._budgets is None,
        )
        if prefix_ids:
            with torch.inference_mode():
                self._run(cache, self.model.embed(prefix_ids))
        return cache

    def _run(
        self,
        cache: StreamCache | Desk,
        embeddings: Float[Tensor, "tokens hidden"],
        recall: Callable[[int, Tensor], None] | None = None,
    ) -> Float[Tensor, " hidden"]:
        positions = self.model.text_positions(len(embeddings), cache.next_position)
        cache.append(positions)
        segment = Segment(cache=cache, embeddings=embeddings, positions=positions, recall=recall)
        return forward(self.model.decoder, [segment])[0][-1]

    @torch.inference_mode()
    def extend(self, embeddings: Float[Tensor, "tokens hidden"]) -> Float[Tensor, " vocabulary"]:
        """Append question or answer tokens and return the logits of the next one; within ``asking``.

        Raises:
            CapacityError: the room for text is used up.
        """
        if self._retriever is None:
            return self.model.logits(self._run(self.cache, embeddings))
        desk = self._retriever.desk
        recall = self._retriever.recall if desk.next_position == desk.num_before else None
        return self.model.logits(self._run(desk, embeddings, recall))

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

    @torch.inference_mode()
    def fold(self, frames: Sequence[Frame]) -> None:
        """Take a chunk in, and compress if the budget is exceeded. All or nothing.

        Args:
            frames: at least one, at most ``chunk_frames``.

        Raises:
            CapacityError: the positions are used up and the policy has no bound.
        """
        if self._pictures is None:
            self._num_entered += self._enter(frames, self._num_entered)
        else:
            self._pictures.extend(frames)
            self.cache.rewind(self._beginning)
        self.num_frames += len(frames)

    @torch.inference_mode()
    def recall(self) -> None:
        """Do what the policy leaves for the moment of a question: nothing, or prefill the held pictures.

        All or nothing; a second call before the next frame finds it done.
        """
        if not self._pictures or max(self.cache.num_visual_tokens):
            return
        pictures = list(self._pictures)
        first = self.num_frames - len(pictures)
        self._past = None
        try:
            for start in range(0, len(pictures), self.chunk_frames):
                first += self._enter(pictures[start : start + self.chunk_frames], first)
        except BaseException:
            self.cache.rewind(self._beginning)
            raise

    @property
    def num_visual_tokens(self) -> tuple[int, ...]:
        """Visual tokens that each layer holds, or will hold when a question comes."""
        if self._pictures is None:
            return self.cache.num_visual_tokens
        return (len(self._pictures) * self.model.card.tokens_per_frame,) * self.model.layout.num_layers

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory held for questions to come."""
        archived = self._retriever.host_bytes if self._retriever else 0
        return archived + sum(frame.image.nbytes for frame in self._pictures or ())

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
        most = self.model.layout.max_positions - self._text_positions
        return Retriever(self.cache, retrieval, most_positions=most, text_tokens=self.text_tokens)

    def _room_for_pictures(self) -> deque[Frame] | None:
        """Return what holds the newest pictures, where the policy wants that.

        Raises:
            CapacityError: the budget holds no frame.
        """
        budget, per_frame = self.policy.budget_tokens, self.model.card.tokens_per_frame
        if not self.policy.rebuilds_at_question or budget is None:
            return None
        if budget < per_frame:
            raise CapacityError(
                f"a budget of {budget} tokens holds no whole frame of {per_frame}; raise budget_tokens"
            )
        return deque(maxlen=budget // per_frame)

    def _enter(self, frames: Sequence[Frame], first_number: int) -> int:
        """Encode, filter and prefill frames, compress where the budget is exceeded; rewind if that fails.

        Returns:
            How many frames entered: those of which a filter left something; they are numbered one by one.
        """
        tokens = self.model.encode([frame.image for frame in frames])
        kept, past = None, self._past
        if self._filter is not None:
            sifted = self._filter.sift(tokens, past)
            tokens, kept, past = sifted.tokens, sifted.kept.cpu(), sifted.past
        self._make_room(tokens.shape[0] * tokens.shape[1])
        mark = self.cache.mark()
        try:
            self._compress(self._prefill(tokens, frames, first_number, kept))
        except BaseException:
            self.cache.rewind(mark)
            raise
        self._past = past
        if kept is None:
            return len(frames)
        self.num_dropped += int((~kept).sum())
        return int(kept.any(dim=1).sum())

    def _make_room(self, num_tokens: int) -> None:
        """Close the gaps between positions before anything goes in that would not fit the model's limit.

        Paper: sec. 3.3, lazy re-indexing
        Differs: the released code looks at the limit when the chunk is in already; here chunk, guidance,
            question and answer must fit before.
        """
        limit = self.model.layout.max_positions
        needed = num_tokens + self._text_positions
        if self.cache.next_position + needed <= limit:
            return
        self.cache.apply(keep_everything(self.cache))
        if self.cache.next_position + needed > limit:
            raise CapacityError(
                f"the stream holds {max(self.cache.num_tokens)} tokens; {num_tokens} more and "
                f"{self._text_positions} for text exceed the model's {limit} positions; use a policy with a "
                f"budget, such as hermes, or a shorter stream"
            )

    def _prefill(
        self,
        tokens: Float[Tensor, "frames per_frame hidden"],
        frames: Sequence[Frame],
        first_number: int,
        kept: Bool[Tensor, "frames per_frame"] | None,
    ) -> Observation | None:
        """Let a chunk enter the cache; observe its newest tokens where the policy will want that."""
        kept = torch.ones(tokens.shape[:2], dtype=torch.bool) if kept is None else kept
        frame, patch = kept.nonzero(as_tuple=True)
        if not len(frame):
            return None
        numbers = first_number - 1 + kept.any(dim=1).cumsum(dim=0)
        pts = torch.tensor([picture.pts_seconds for picture in frames], dtype=torch.float64)
        origin = VisualOrigin(frame_numbers=numbers[frame], pts_seconds=pts[frame], patch_numbers=patch)
        positions = self.model.visual_positions(len(frames), self.cache.next_position)[:, kept.flatten()]
        self.cache.append(positions, origin)
        observation = self._observation()
        segment = Segment(
            cache=self.cache,
            embeddings=tokens[frame, patch],
            positions=positions,
            observation=observation,
        )
        forward(self.model.decoder, [segment])
        return observation

    def _is_over_budget(self) -> bool:
        if self._budgets is None:
            return False
        prefix = self.cache.num_prefix_tokens
        held = zip(self.cache.num_visual_tokens, self._budgets, strict=True)
        return any(self.policy.exceeds(count, budget, prefix) for count, budget in held)

    def _observation(self) -> Observation | None:
        guidance = self._guidance(None) if self._is_over_budget() else None
        if guidance is None or not guidance.observed_tokens:
            return None
        return Observation(mass=self._empty_mass(), num_tokens=guidance.observed_tokens)

    def _empty_mass(self) -> Float[Tensor, "layers slots"]:
        layout = self.model.layout
        return torch.zeros(layout.num_layers, max(self.cache.num_tokens), device=layout.device)

    def _compress(self, observation: Observation | None) -> None:
        if not self._is_over_budget():
            return
        mass = self._read_guidance() if observation is None else observation.mass
        if mass is not None:
            first = self.cache.num_prefix_tokens
            mass = mass[:, first : first + max(self.cache.num_visual_tokens)]
        reads = self.policy.facts.reads
        state = self.cache.state(mass, shows_keys="keys" in reads, shows_values="values" in reads)
        plan = self.policy.plan(state)
        leaving = self._retriever.receive(plan) if self._retriever else None
        self.cache.apply(plan)
        if self._retriever and leaving:
            self._retriever.commit(leaving)

    def _read_guidance(self) -> Float[Tensor, "layers slots"] | None:
        """Return the attention that each layer's guidance prompt pays to what it holds.

        One forward for all prompts, through all layers; it leaves nothing behind.

        Paper: sec. 3.1, pseudo query
        Differs: in the released code the prompt's hidden states never advance, so that every layer scores
            with queries made from word embeddings; here the prompt takes a true forward.
        """
        guidance = self._guidance(self.last_conversation)
        if guidance is None:
            return None
        mass, segments = self._empty_mass(), []
        for index, text in enumerate(guidance.prompts):
            ids = self.model.chat.encode(text)[: self._text_positions]
            listening = frozenset(i for i, prompt in enumerate(guidance.prompt_of_layer) if prompt == index)
            segments.append(
                Segment(
                    cache=self.cache,
                    embeddings=self.model.embed(ids),
                    positions=self.model.text_positions(len(ids), self.cache.next_position),
                    probe=Probe(mass=mass, layers=listening),
                )
            )
        forward(self.model.decoder, segments)
        return mass

    def remember_conversation(self, question: str, answer: str) -> None:
        """Let the last question and answer steer later guidance, and only that.

        Paper: app. B, last_conv
        """
        chat = self.model.chat
        ids = chat.encode(f"Question: {question} Answer: {answer}")[: self._conversation_tokens]
        self.last_conversation = chat.decode(ids)
