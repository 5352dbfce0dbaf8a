"""One stream, as sessions and engines share it: frames that wait, what they become, the work of questions."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError, VideoError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.models.visual import Features
from hermes_stream.retrieval.retriever import Retriever
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.decoding import Sampling, choose_option, decode_answer
from hermes_stream.stream.evidence import read_attention
from hermes_stream.stream.executor import Executor, is_out_of_memory
from hermes_stream.stream.held_frames import FrameBuffer, HeldFrames, group_by_size, num_tokens
from hermes_stream.stream.intake import Intake
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.question import Question
from hermes_stream.stream.retrieved_context import RetrievedContext
from hermes_stream.stream.stats import SessionStats, synchronize
from hermes_stream.stream.work import EncodeRequest, Work, next_token_logits
from hermes_stream.video.conversion import frames_from
from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)
_MAX_NEW_TOKENS = 256


class Stream:
    """A stream's state, and its work: to fold chunks into the memory, and to answer questions from it.

    Args:
        executor: has the model; runs what is not work.
        capacity: what the stream takes of positions and memory.
        fps: frames sampled by time, per second; None takes every frame.
        token_filter: what drops visual tokens before they are prefilled; None drops none.
        still_below: see ``FrameEncoder``.
        guidance_from_questions: let the last conversation steer what the memory keeps.

    Attributes:
        model: the model.
        policy: what the memory keeps.
        chunk_frames: frames that are folded in together.
        intake: checks and samples frames; those that wait for their chunk.
        memory: the cache, and what chunks go through on their way in.
        context: what questions read: the memory, or more.
    """

    def __init__(
        self,
        executor: Executor,
        capacity: Capacity,
        *,
        fps: float | None = None,
        token_filter: TokenFilter | None = None,
        still_below: float | None = None,
        guidance_from_questions: bool = True,
    ) -> None:
        self.model, self.policy, self._text_tokens = executor.model, capacity.policy, capacity.text_tokens
        self._executor, self._capacity = executor, capacity
        self.chunk_frames = capacity.chunk_frames
        self._guidance_from_questions = guidance_from_questions
        self.intake = Intake(fps, check_size=self.model.num_tokens, shrink=self.model.shrink)
        self.memory = StreamMemory(executor, capacity, token_filter=token_filter, still_below=still_below)
        self.context = _context(self.memory, capacity)
        self._num_frames = self._num_seen = self._num_questions = self._num_failed_frames = 0
        self._failed_frame: Frame | None = None
        self._num_failures = 0
        self._newest_answer: Answer | None = None
        self._recall_seconds: float | None = None

    @property
    def cache(self) -> StreamCache:
        """The stream's cache."""
        return self.memory.cache

    def fork(self, executor: Executor) -> Stream:
        """Return a copy of the stream that shares the model.

        Args:
            executor: runs the copy's work.
        """
        shared = (self.model, self.policy, self._newest_answer, self._capacity, self.cache.layout)
        memo: dict[int, Any] = {id(one): one for one in shared}
        memo[id(self._executor)] = executor
        with torch.inference_mode():
            forked = deepcopy(self, memo)
        executor.prepare(forked.cache)
        return forked

    def frames_from(self, shown: Any, **how: Any) -> Iterator[Frame]:
        """Yield the frames of what shows pictures; a file is sampled at the stream's rate, or the model's.

        Args:
            shown: see ``Session.observe``.
            **how: see ``video.conversion.frames_from``.
        """
        file_fps = self.intake.fps or self.model.card.default_fps
        return frames_from(shown, newest_seconds=self.intake.newest_seconds, file_fps=file_fps, **how)

    @property
    def has_full_chunk(self) -> bool:
        """Whether a whole chunk waits."""
        return len(self.intake.waiting) >= self.chunk_frames

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk, at most."""
        card = self.model.card
        return -(-self.chunk_frames // card.frames_per_temporal_patch) * card.tokens_per_temporal_patch

    @property
    def num_pending_tokens(self) -> int:
        """Visual tokens of the first chunk that a question asked now must wait for."""
        waiting = num_tokens(self.model, self.intake.waiting[: self.chunk_frames])
        return min(self.context.num_prefill_tokens(waiting), self.chunk_tokens)

    def request_ahead(self) -> EncodeRequest | None:
        """Ask to encode the next chunk, if all of it waits; see ``receive_ahead``."""
        chunk = self.intake.waiting[: self.chunk_frames]
        if len(chunk) < self.chunk_frames or len(group_by_size(chunk)) > 1:
            return None
        return self.memory.encoder.request_ahead(chunk)

    def receive_ahead(self, features: Features) -> None:
        """Take the result of ``request_ahead``."""
        self.memory.encoder.receive_ahead(features)

    def fold(self, max_frames: int | None = None) -> Work[None]:
        """Fold a chunk of the frames that wait into the memory, or all if they are fewer.

        Args:
            max_frames: fold no more than these; None folds up to a chunk.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        intake = self.intake
        chunk = intake.take(min(self.chunk_frames, max_frames or self.chunk_frames))
        try:
            for same in group_by_size(chunk):
                yield from self._fold_or_leave_out(same)
        finally:
            # what failed, or was abandoned, waits for the next try
            intake.put_back()

    def _fold_or_leave_out(self, frames: Sequence[Frame]) -> Work[None]:
        """Fold frames of one size; where they failed before, one temporal patch at a time.

        A patch that fails then is left out, so that one bad frame does not stop its stream for ever. If all
        of them fail it may not be theirs, and they are tried once more before they are.
        """
        num_failures = self._num_failures if frames[0] is self._failed_frame else 0
        try:
            yield from self._fold_together(frames)
        except Exception as error:
            if not self._is_of_frames(error):
                raise
            self._failed_frame, self._num_failures = frames[0], num_failures + 1
            if num_failures == 0:
                raise
            is_last_try = num_failures > 1 or len(frames) <= self.model.card.frames_per_temporal_patch
            if not (yield from self._fold_apart(frames, is_last_try=is_last_try)):
                raise

    def _fold_apart(self, frames: Sequence[Frame], *, is_last_try: bool) -> Work[bool]:
        """Fold temporal patches one by one, and leave out those that fail; tell whether that was done.

        Args:
            frames: of one size.
            is_last_try: leave them out even if all fail.
        """
        failed: list[Frame] = []
        is_theirs = is_last_try
        size = self.model.card.frames_per_temporal_patch
        for start in range(0, len(frames), size):
            patch = frames[start : start + size]
            try:
                yield from self._fold_together(patch)
                is_theirs = True
            except Exception as error:
                if not self._is_of_frames(error):
                    raise
                failed += patch
                log.info("frames at %s s cannot be folded in: %s", _times(patch), error)
            if is_theirs and failed:
                # at once: what comes later in time is in the memory, and they must not come behind it
                self.intake.drop(failed)
                self._num_failed_frames += len(failed)
                log.warning("%d frames are left out, at %s s", len(failed), _times(failed))
                failed = []
        return is_theirs

    @staticmethod
    def _is_of_frames(error: Exception) -> bool:
        """Tell whether other frames might do better; what has no room now may have some later."""
        return not (isinstance(error, CapacityError) or is_out_of_memory(error))

    def _fold_together(self, frames: Sequence[Frame]) -> Work[None]:
        yield from self.context.fold(frames)
        self.intake.drop(frames)
        self._num_frames += len(frames)
        self._num_seen += num_tokens(self.model, frames)

    def ask(self, text: str, options: Sequence[str] | None, sampling: Sampling) -> tuple[Answer, Work[None]]:
        """Check a question; return its answer, still empty, and the work that makes it.

        The work folds in the frames that wait by now, and no later ones.

        Args:
            text: what is asked, not empty.
            options: choices of a multiple-choice question.
            sampling: how an open answer is decoded.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        answer = Answer(text, options or ())
        question = self._phrase(text, options, 1 if options else sampling.max_new_tokens or 1)
        self.check_observed()
        max_tokens = min(sampling.max_new_tokens or _MAX_NEW_TOKENS, question.max_answer_tokens)
        sampling = replace(sampling, max_new_tokens=max_tokens)
        return answer, self._answer(answer, question, sampling, self.intake.num_accepted)

    def _answer(self, answer: Answer, question: Question, sampling: Sampling, num_frames: int) -> Work[None]:
        self._newest_answer = answer
        try:
            pending_seconds = yield from self.prepare(num_frames)
            if question.options is None:
                text = yield from decode_answer(
                    self.model,
                    self.context,
                    question,
                    answer,
                    sampling=sampling,
                    pending_seconds=pending_seconds,
                )
            else:
                text = yield from choose_option(
                    self.model, self.context, question, answer, pending_seconds=pending_seconds
                )
        except Exception as error:
            answer.fail(error)
            raise
        self._num_questions += 1
        if self._guidance_from_questions:
            self.memory.remember_conversation(answer.question, text)

    def next_token_logits(
        self, text: str, options: Sequence[str] | None = None
    ) -> Work[Float[Tensor, " vocabulary"]]:
        """Return the logits of an answer's first token, float32.

        Args:
            text: what is asked, not empty.
            options: choices of a multiple-choice question.
        """
        question = self._phrase(text, options)
        self.check_observed()
        yield from self.prepare()
        with self.context.reading():
            return (yield from next_token_logits(self.context.extend(question.embeddings(self.model))))

    def read_attention(
        self,
        text: str,
        options: Sequence[str] | None = None,
        *,
        answer_ids: Sequence[int] = (),
        whole_question: bool = False,
    ) -> Work[MemoryState]:
        """Return what a question reads, with the attention that it pays; see ``Session.read_attention``."""
        question = self._phrase(text, options, max(1, len(answer_ids)))
        self.check_observed()
        yield from self.prepare()
        num_observed = len(question.token_ids) if whole_question else 1
        parts = [(question.embeddings(self.model), num_observed)]
        if len(answer_ids) > 1:
            parts.append((self.model.embed(answer_ids[:-1]), len(answer_ids) - 1))
        return (yield from read_attention(self.context, self.model.layout, parts))

    def _phrase(self, text: str, options: Sequence[str] | None, answer_tokens: int = 1) -> Question:
        return Question.phrase(
            self.model, text, options, text_tokens=self._text_tokens, answer_tokens=answer_tokens
        )

    def prepare(self, num_frames: int | None = None) -> Work[float]:
        """Fold in what waits; do what the policy leaves for the moment of a question.

        Args:
            num_frames: frames of the stream that the question is about; None is all so far.

        Returns:
            Seconds that the folding took.
        """
        began = time.perf_counter()
        until = self.intake.num_accepted if num_frames is None else num_frames
        while (missing := until - self.intake.num_folded) > 0:
            yield from self.fold(missing)
        if not self._num_frames:
            raise VideoError(
                f"none of {self._num_failed_frames} frames could be folded into the memory, so there is "
                "nothing to ask about; the log says why"
            )
        synchronize(self.model.layout.device)
        folded = time.perf_counter()
        yield from self.context.prepare()
        synchronize(self.model.layout.device)
        self._recall_seconds = time.perf_counter() - folded
        return folded - began

    def check_observed(self) -> None:
        """Check that there is something to ask about.

        Raises:
            VideoError: no frame was observed yet.
        """
        if not self._num_frames and not self.intake.waiting:
            raise VideoError(
                "no frame was observed yet, so there is nothing to ask about; observe frames first"
            )

    @property
    def stats(self) -> SessionStats:
        """What the stream has done and holds."""
        usage, answer, recall = self.context.usage, self._newest_answer, self._recall_seconds
        kept, num_pending = usage.num_visual_tokens, len(self.intake.waiting)
        tiers = Tiers(num_layers=len(kept)).tier_of_layer
        by_tier = {
            tier.name.lower(): max((n for n, own in zip(kept, tiers, strict=True) if own == tier), default=0)
            for tier in Tier
        }
        return SessionStats(
            num_frames=self._num_frames + len(self.intake.in_hand) + num_pending,
            num_pending_frames=num_pending,
            num_failed_frames=self._num_failed_frames,
            num_gaps=self.intake.num_gaps,
            num_still_frames=self.memory.encoder.num_still_frames,
            num_visual_tokens_seen=self._num_seen,
            num_visual_tokens_dropped=self.memory.filtering.num_dropped,
            num_visual_tokens_kept=max(kept),
            num_archived_tokens=usage.num_archived_tokens,
            num_kept_by_tier=by_tier,
            num_compressions=self.cache.num_compressions,
            num_questions=self._num_questions,
            waiting_bytes=self.intake.waiting_bytes,
            cache_bytes=usage.device_bytes,
            host_bytes=usage.host_bytes,
            recall_seconds=None if recall is None else recall + usage.retrieval_seconds,
            ttft_seconds=answer.ttft_seconds if answer else None,
            ttft_with_pending_seconds=answer.ttft_with_pending_seconds if answer else None,
            tokens_per_second=answer.tokens_per_second if answer else None,
        )


def _times(frames: Sequence[Frame]) -> str:
    return ", ".join(f"{frame.pts_seconds:.3f}" for frame in frames)


def _context(memory: StreamMemory, capacity: Capacity) -> QuestionContext:
    """Return what the policy's questions read."""
    policy = memory.policy
    if policy.rebuilds_at_question and policy.budget_tokens is not None:
        return HeldFrames(memory, FrameBuffer(memory.model, policy.budget_tokens), capacity.chunk_frames)
    if (spec := policy.retrieval()) is None:
        return memory
    retriever = Retriever(
        memory.cache, spec, max_positions=capacity.chunk_positions, text_tokens=capacity.text_tokens
    )
    return RetrievedContext(memory, retriever)
