"""One stream, as sessions and engines share it: frames that wait, what they become, the work of questions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.errors import SnapshotError, VideoError
from hermes_stream.memory.state import MemoryState
from hermes_stream.models.visual import Features
from hermes_stream.saved import Saved
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.changes import (
    Change,
    Changes,
    ChunkFolded,
    FrameCame,
    FrameForgotten,
    FramesLeftOut,
    HeldFramesPrefilled,
    MemoryCompressed,
    QuestionAnswered,
)
from hermes_stream.stream.clarifying import answer_question
from hermes_stream.stream.context_choice import choose_context
from hermes_stream.stream.decoding import Sampling
from hermes_stream.stream.evidence import read_attention
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.folding import Folding
from hermes_stream.stream.held_frames import fitting_parts, num_tokens
from hermes_stream.stream.intake import Intake
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.question import Question
from hermes_stream.stream.stats import DeviceMoment, SessionStats, kept_by_tier
from hermes_stream.stream.unseen import UnseenQuestion
from hermes_stream.stream.work import EncodeRequest, Work, next_token
from hermes_stream.video.conversion import frames_from
from hermes_stream.video.frame import Frame


class Stream:
    """A stream's state, and its work: to fold chunks into the memory, and to answer questions from it.

    Args:
        executor: has the model; runs what is not work.
        options: what the stream is made with.
        capacity: what it takes of positions and memory, where that is known already.

    Attributes:
        executor: has the model; runs what is not work.
        model: the model.
        options: what the stream is made with, in fact.
        policy: what the memory keeps.
        chunk_frames: frames that are folded in together; may be set, to no more than ``options`` say.
        chunk_tokens: visual tokens that are folded in at once, at most.
        text_tokens: room for a question and its answer.
        changes: numbers what happens to the memory, and tells who records it.
        intake: checks and samples frames; those that wait for their chunk.
        memory: the cache, and what chunks go through on their way in.
        context: what questions read: the memory, or more.
        folding: takes waiting frames into it, and counts them.
    """

    def __init__(self, executor: Executor, options: StreamOptions, capacity: Capacity | None = None) -> None:
        self._capacity = capacity = capacity or options.capacity(executor.model)
        self.model, self.options = executor.model, options.settled(capacity)
        self.policy, self.chunk_frames = capacity.policy, capacity.chunk_frames
        self.executor, self.text_tokens = executor, capacity.text_tokens
        self.chunk_tokens = capacity.chunk_tokens
        self.changes = Changes()
        self.intake = Intake(
            options.fps, check_size=self.model.num_tokens, shrink=self.model.shrink, changes=self.changes
        )
        self.memory = StreamMemory(
            executor, capacity, token_filter=options.filter, still_below=options.still_below
        )
        self.context = choose_context(self.memory, capacity)
        self.folding = Folding(
            self.model, capacity, intake=self.intake, context=self.context, changes=self.changes
        )
        self._num_questions = 0
        self._newest_answer: Answer | None = None
        self._recall: Callable[[], float] | None = None

    @property
    def cache(self) -> StreamCache:
        """The stream's cache."""
        return self.memory.cache

    def saved(self) -> Saved:
        """Return all that a stream made alike needs to go on as this one. No question may be in hand."""
        return Saved(
            values={"num_changes": self.changes.num_changes, "num_questions": self._num_questions},
            parts={
                "intake": self.intake.saved(),
                "folding": self.folding.saved(),
                "context": self.context.saved(),
            },
        )

    @torch.inference_mode()
    def restore(self, saved: Saved) -> None:
        """Go on where another stream was; this one is new, of the same model and options.

        Raises:
            SnapshotError: what was saved is no state of such a stream; this one is of no use then.
        """
        self.changes.num_changes = saved.integer("num_changes")
        self._num_questions = saved.integer("num_questions")
        self.intake.restore(saved.part("intake"))
        self.folding.restore(saved.part("folding"))
        self.context.restore(saved.part("context"))
        self.executor.prepare(self.cache)

    def resemble(self, other: Stream) -> None:
        """Become a copy of another stream that was made alike."""
        self.restore(other.saved())
        self._newest_answer, self._recall = other._newest_answer, other._recall

    def replay(self, changes: Iterable[Change]) -> int:
        """Do recorded changes again, one after the other; tell how many were new.

        Raises:
            SnapshotError: changes are missing between, or one cannot be done here.
            ValueError: someone records, who would be told of them a second time.
        """
        if self.changes.listener is not None:
            raise ValueError("replay changes first, and record from then on: they would be recorded twice")
        before = self.changes.num_changes
        for change in changes:
            self.executor.run(self.redo(change))
        return self.changes.num_changes - before

    def redo(self, change: Change) -> Work[None]:
        """Do what another stream did when this was its state; what was done already is left alone.

        Raises:
            SnapshotError: changes are missing between, or the change cannot be done here.
        """
        done = self.changes.num_changes
        if change.number <= done:
            return
        if change.number != done + 1:
            raise SnapshotError(
                f"change {change.number} was recorded, and {done} are in the memory: those between are "
                "missing; the memory can be had up to here"
            )
        what = change.what
        if isinstance(what, FrameCame):
            self.intake.admit_again(what)
        elif isinstance(what, FrameForgotten):
            self.intake.forget_again(what)
        elif isinstance(what, ChunkFolded):
            yield from self.folding.fold_again(what)
        elif isinstance(what, FramesLeftOut):
            self.folding.leave_out_again(what)
        elif isinstance(what, MemoryCompressed):
            yield from self.folding.compress()
        elif isinstance(what, HeldFramesPrefilled):
            yield from self._prefill_held()
        else:
            self._remember(what)

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
    def folded_until_seconds(self) -> float | None:
        """Time of the newest frame in the memory; None before the first, or where that is not known."""
        return self.folding.until_seconds

    @property
    def num_pending_tokens(self) -> int:
        """Visual tokens that a question asked now must wait for, as far as they are folded in at once."""
        waiting = num_tokens(self.model, self.intake.waiting[: self.chunk_frames])
        return min(self.context.num_prefill_tokens(waiting), self.chunk_tokens)

    def request_ahead(self) -> EncodeRequest | None:
        """Ask to encode what is folded in next, if a whole chunk waits; see ``receive_ahead``."""
        chunk = self.intake.waiting[: self.chunk_frames]
        if len(chunk) < self.chunk_frames:
            return None
        return self.memory.encoder.request_ahead(next(fitting_parts(self.model, self._capacity, chunk)))

    def receive_ahead(self, features: Features) -> None:
        """Take the result of ``request_ahead``."""
        self.memory.encoder.receive_ahead(features)

    def fold(self, max_frames: int | None = None, text_tokens: int | None = None) -> Work[None]:
        """Fold a chunk of the frames that wait into the memory, or all if they are fewer.

        Args:
            max_frames: fold no more than these; None folds up to a chunk.
            text_tokens: of a question that waits for them; see ``QuestionContext.fold``.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        num_frames = min(self.chunk_frames, max_frames or self.chunk_frames)
        # A whole chunk enters alike whether someone asks or not: an engine may fold it before or after.
        may_defer = self.options.defers_compression and num_frames < self.chunk_frames
        yield from self.folding.fold(num_frames, text_tokens if may_defer else None)

    def ask(
        self, text: str, options: Sequence[str] | None, sampling: Sampling, *, steers: bool | None = None
    ) -> tuple[Answer, Work[None]]:
        """Check a question; return its answer, still empty, and the work that makes it.

        The work folds in the frames that wait by now, and no later ones.

        Args:
            text: what is asked, not empty.
            options: choices of a multiple-choice question.
            sampling: how an open answer is decoded.
            steers: whether question and answer steer what the memory keeps; None as all of the stream do.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        answer = Answer(text, options or ())
        question = self._phrase(text, options, 1 if options else sampling.max_new_tokens or 1)
        self.check_observed()
        sampling = sampling.within(question.max_answer_tokens)
        steers = self.options.guidance_from_questions if steers is None else steers
        num_frames, unseen = self.intake.num_accepted, None
        if sampling.allow_unseen:
            unseen = UnseenQuestion.phrase(self.model, text, options, text_tokens=self.text_tokens)
        work = self._answer(answer, question, sampling, num_frames=num_frames, steers=steers, unseen=unseen)
        return answer, work

    def _answer(
        self,
        answer: Answer,
        question: Question,
        sampling: Sampling,
        *,
        num_frames: int,
        steers: bool,
        unseen: UnseenQuestion | None,
    ) -> Work[None]:
        self._newest_answer = answer
        try:
            # a question back is another question, which may take all the room
            room = question.num_tokens(self.model, sampling.max_new_tokens)
            room = room if sampling.clarify_below is None else self.text_tokens
            answer.pending = yield from self.prepare(num_frames, room)
            text = yield from answer_question(
                self.model,
                self.context,
                question,
                answer,
                sampling=sampling,
                text_tokens=self.text_tokens,
                unseen=unseen,
            )
        except Exception as error:
            answer.fail(error)
            raise
        told = {"question": answer.question, "answer": text} if steers else {}
        self._remember(QuestionAnswered(**told))

    def _remember(self, answered: QuestionAnswered) -> None:
        self._num_questions += 1
        if answered.question is not None and answered.answer is not None:
            self.memory.guidance.remember(answered.question, answered.answer)
        self.changes.note(answered)

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
        yield from self.prepare(text_tokens=question.num_tokens(self.model, 1))
        with self.context.reading():
            return (yield from next_token(self.context.extend(question.embeddings(self.model)))).logits

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
        yield from self.prepare(text_tokens=question.num_tokens(self.model, 1))
        parts = [(question.embeddings(self.model), len(question.token_ids) if whole_question else 1)]
        if len(answer_ids) > 1:
            parts.append((self.model.embed(answer_ids[:-1]), len(answer_ids) - 1))
        return (yield from read_attention(self.context, self.model.layout, parts))

    def _phrase(self, text: str, options: Sequence[str] | None, answer_tokens: int = 1) -> Question:
        return Question.phrase(
            self.model, text, options, text_tokens=self.text_tokens, answer_tokens=answer_tokens
        )

    def prepare(
        self, num_frames: int | None = None, text_tokens: int | None = None
    ) -> Work[Callable[[], float]]:
        """Fold in what waits; do what the policy leaves for the moment of a question.

        Args:
            num_frames: frames of the stream that the question is about; None is all so far.
            text_tokens: of question and answer; a compression may wait until behind them. None where it
                may not.

        Returns:
            What tells the seconds that the folding took, at any time after the device has done it.
        """
        began = time.perf_counter()
        until = self.intake.num_accepted if num_frames is None else num_frames
        while (missing := until - self.intake.num_folded) > 0:
            yield from self.fold(missing, text_tokens)
        self.folding.check_any()
        folded = DeviceMoment(self.model.layout.device)
        yield from self.prepare_context()
        self._recall = partial(folded.seconds_until, DeviceMoment(self.model.layout.device))
        return lambda: max(0.0, time.perf_counter() - folded.seconds_ago() - began)

    def prepare_context(self) -> Work[None]:
        """Do what the policy leaves for the moment of a question, as to prefill frames that are held."""
        if self.context.num_prefill_tokens(0):
            yield from self._prefill_held()

    def _prefill_held(self) -> Work[None]:
        yield from self.context.prepare()
        self.changes.note(HeldFramesPrefilled())

    def check_observed(self) -> None:
        """Check that there is something to ask about.

        Raises:
            VideoError: no frame was observed yet.
        """
        if not (self.folding.num_frames or self.intake.waiting or self.intake.in_hand):
            raise VideoError(
                "no frame was observed yet, so there is nothing to ask about; observe frames first"
            )

    @property
    def stats(self) -> SessionStats:
        """What the stream has done and holds."""
        usage, answer, recall = self.context.usage, self._newest_answer, self._recall and self._recall()
        folding = self.folding
        kept, num_pending = usage.num_visual_tokens, len(self.intake.waiting)
        return SessionStats(
            num_frames=folding.num_frames + len(self.intake.in_hand) + num_pending,
            num_pending_frames=num_pending,
            num_failed_frames=folding.num_failed_frames,
            num_gaps=self.intake.num_gaps,
            num_still_frames=self.memory.encoder.num_still_frames,
            num_visual_tokens_seen=folding.num_seen,
            num_visual_tokens_dropped=self.memory.filtering.num_dropped,
            num_visual_tokens_kept=max(kept),
            num_visual_tokens_over_budget=usage.num_over_budget,
            num_archived_tokens=usage.num_archived_tokens,
            num_kept_by_tier=kept_by_tier(kept),
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
