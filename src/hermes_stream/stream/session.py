"""One stream's life: frames are observed, questions are asked, the memory stays bounded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.errors import VideoError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.answering import Asked, choose_option, prefill_question, speak_freely
from hermes_stream.stream.capacity import fit
from hermes_stream.stream.evidence import Evidence, evidence_of, read_attention
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.frame_buffer import group_by_size
from hermes_stream.stream.generation import Sampling
from hermes_stream.stream.intake import Intake
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.requests import EncodeRequest
from hermes_stream.stream.stages import wait_for
from hermes_stream.stream.stats import SessionStats
from hermes_stream.stream.work import Driver, Work, run
from hermes_stream.video.frame import Frame

_MOST_TOKENS = 256


class Session:
    """Watches one stream with a model and answers questions about it from a bounded memory.

    Several sessions may share a model. A session is not thread-safe: one call at a time.

    Args:
        model: a loaded model.
        policy: what the memory keeps; None is ``HermesPolicy.paper`` with the model's default budget. A
            budget that the model's positions do not hold is lowered, with a warning (see the attribute).
        fps: sample the observed frames by time at this rate, in frames per second; None takes every frame.
        chunk_frames: frames that are prefilled together, at least 1; fewer where they would take more than
            half of the model's positions (see the attribute).
        text_tokens: room for a question and its answer together, in tokens; None takes an eighth of the
            model's positions, at most 2,048.
        filter: what drops visual tokens before they are prefilled, with any policy; None drops none.
        still_below: frames that changed by fewer grey levels than this, in every block of 16 x 16 pixels,
            take the features of the last that was looked at, without the vision tower; None looks at all.
        kv_bits: 8 keeps keys and values in 8 bits, in less than half of the memory; None as the model makes
            them.
        executor: runs the model; None makes one, which on a GPU captures the forwards of questions.

    Attributes:
        intake: checks and samples frames; those that wait for their chunk.
        policy: what the memory keeps in fact.
        chunk_frames: frames that are prefilled together in fact; whole temporal patches where the model has
            them.

    Raises:
        CapacityError: two frames and text do not fit the model's positions.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        model: VideoModel,
        policy: MemoryPolicy | None = None,
        *,
        fps: float | None = None,
        chunk_frames: int = 16,
        text_tokens: int | None = None,
        filter: TokenFilter | None = None,
        still_below: float | None = None,
        kv_bits: int | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.model = model
        policy = policy or HermesPolicy.paper(budget_tokens=model.card.default_budget_tokens)
        fitted = fit(model, policy, chunk_frames=chunk_frames, text_tokens=text_tokens, kv_bits=kv_bits)
        self._executor = executor or Executor.for_one_stream(model)
        self._memory = StreamMemory(self._executor, fitted, token_filter=filter, still_below=still_below)
        self.policy, self.chunk_frames = fitted.policy, fitted.chunk_frames
        self.intake = Intake(fps)
        self._answer: Answer | None = None
        self._num_questions = 0
        self._recall_seconds: float | None = None

    @property
    def cache(self) -> StreamCache:
        """The stream's cache, for inspection."""
        return self._memory.cache

    def observe(self, frames: Iterable[Frame] | Frame) -> None:
        """Watch frames; full chunks enter the memory at once, the rest waits for more or for a question.

        If this fails, frames up to the one it names are kept, and the session goes on working.

        Args:
            frames: any number of frames, timestamps increasing over the whole stream.

        Raises:
            ValueError: a frame is malformed or not later than the one before.
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        self._close_open_answer()
        for frame in [frames] if isinstance(frames, Frame) else frames:
            if len(self.intake.waiting) >= self.chunk_frames:
                run(self._executor, self.folding())
            self.intake.accept(frame)
        if len(self.intake.waiting) >= self.chunk_frames:
            run(self._executor, self.folding())

    def flush(self) -> None:
        """Fold the waiting frames into the memory now.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        self._close_open_answer()
        while self.intake.waiting:
            run(self._executor, self.folding())

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk, at most."""
        card = self.model.card
        return -(-self.chunk_frames // card.frames_per_temporal_patch) * card.tokens_per_temporal_patch

    def look_ahead(self) -> EncodeRequest | None:
        """Ask for a look at the next chunk, if all of it waits; ``foresee`` its result."""
        chunk = self.intake.waiting[: self.chunk_frames]
        if len(chunk) < self.chunk_frames or len(group_by_size(chunk)) > 1:
            return None
        return self._memory.eyes.ahead(chunk)

    def foresee(self, features: Features) -> None:
        """Take what was seen of the next chunk."""
        self._memory.eyes.foresee(features)

    def folding(self, max_frames: int | None = None) -> Work[None]:
        """Fold a chunk of the frames that wait, or all if they are fewer.

        Args:
            max_frames: fold no more than these; None folds up to a chunk.
        """
        most = min(self.chunk_frames, max_frames or self.chunk_frames)
        intake = self.intake
        chunk, intake.waiting = intake.waiting[:most], intake.waiting[most:]
        try:
            for same in group_by_size(chunk):
                yield from self._memory.folding(same)
                del chunk[: len(same)]
        finally:
            intake.waiting = chunk + intake.waiting

    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Answer:
        """Answer a question about the stream so far. The memory is the same before and after.

        Waiting frames are folded in first. When this returns, the first token exists; iterate the answer for
        its pieces, or read its ``text``.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question; the answer is one of them.
            max_new_tokens: most tokens of the answer; None takes what room there is, at most 256.
            temperature: 0 is greedy.
            top_p: see ``Sampling``.
            repetition_penalty: see ``Sampling``.
            stop: texts that end the answer.
            seed: of the sampling.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: an argument is out of its range.
        """
        sampling = Sampling(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            stop=tuple(stop),
            seed=seed,
        )
        answer, work = self.answering(question, options, sampling)
        self._close_open_answer()
        driver = Driver(self._executor, work)
        answer.attach(driver.step, driver.close)
        answer.wait_for_first()
        return answer

    def answering(
        self, question: str, options: Sequence[str] | None, sampling: Sampling
    ) -> tuple[Answer, Work[None]]:
        """Check a question; return its answer, still empty, and the work that makes it.

        The work folds in the frames that wait by now, and no later ones.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.
            sampling: how an open answer is decoded.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: the question is empty, or the options are not 2 to 26 texts.
        """
        answer = Answer(question, options or ())
        asked = self._asked(question, options, 1 if options else sampling.max_new_tokens or 1)
        self._check_seen()
        most = min(sampling.max_new_tokens or _MOST_TOKENS, asked.room)
        sampling = replace(sampling, max_new_tokens=most)
        return answer, self._answering(answer, asked, sampling, self.intake.num_taken)

    def _answering(self, answer: Answer, asked: Asked, sampling: Sampling, until: int) -> Work[None]:
        self._answer = answer
        try:
            pending_seconds = yield from self._preparing(until)
            if asked.ballot:
                said = yield from choose_option(self._memory, answer, asked, pending_seconds)
            else:
                said = yield from speak_freely(self._memory, answer, asked, sampling, pending_seconds)
        except Exception as error:
            answer.fail(error)
            raise
        self._num_questions += 1
        self._memory.remember_conversation(answer.question, said)

    def _asked(self, question: str, options: Sequence[str] | None, answer_tokens: int = 1) -> Asked:
        return Asked.of(
            self.model, question, options, text_tokens=self._memory.text_tokens, answer_tokens=answer_tokens
        )

    def next_token_logits(
        self, question: str, options: Sequence[str] | None = None
    ) -> Float[Tensor, " vocabulary"]:
        """Return the logits of an answer's first token, float32, in host memory; for tests and research.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet.
        """
        asked = self._asked(question, options)
        self._prepare()
        with self._memory.asking():
            return run(self._executor, prefill_question(self._memory, asked)).cpu()

    def read_attention(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        answer_ids: Sequence[int] = (),
        whole_question: bool = False,
    ) -> MemoryState:
        """Return what a question reads, with the attention that it pays to each token.

        The question takes a forward of its own; the memory is the same before and after.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.
            answer_ids: tokens of an answer that was given; attention is the mean over the places that chose
                them. Without, it is that of the place that chooses the first.
            whole_question: take the mean over all tokens of the question instead.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: the question is empty, or an answer is given with ``whole_question``.
        """
        if answer_ids and whole_question:
            raise ValueError("answer_ids and whole_question exclude each other; leave one of them out")
        asked = self._asked(question, options, max(1, len(answer_ids)))
        self._prepare()
        parts = [(asked.embeddings(self.model), len(asked.token_ids) if whole_question else 1)]
        if len(answer_ids) > 1:
            parts.append((self.model.embed(answer_ids[:-1]), len(answer_ids) - 1))
        return run(self._executor, read_attention(self._memory, parts))

    def evidence(
        self, question: str, options: Sequence[str] | None = None, *, answer_ids: Sequence[int] = ()
    ) -> Evidence:
        """Return on which moments of the stream an answer's attention rests; see ``read_attention``.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet, or nothing of any is remembered.
            ValueError: the question is empty.
        """
        return evidence_of(self.read_attention(question, options, answer_ids=answer_ids))

    @property
    def stats(self) -> SessionStats:
        """What this session has done and holds."""
        kept = self._memory.num_visual_tokens
        tiers = Tiers(num_layers=len(kept)).tier_of_layer
        by_tier = {
            tier.name.lower(): max((n for n, own in zip(kept, tiers, strict=True) if own == tier), default=0)
            for tier in Tier
        }
        answer, recall = self._answer, self._recall_seconds
        return SessionStats(
            num_frames=self._memory.num_frames + len(self.intake.waiting),
            num_pending_frames=len(self.intake.waiting),
            num_still_frames=self._memory.num_still_frames,
            num_visual_tokens_seen=self._memory.num_seen,
            num_visual_tokens_dropped=self._memory.num_dropped,
            num_visual_tokens_kept=max(kept),
            num_archived_tokens=self._memory.num_archived_tokens,
            num_kept_by_tier=by_tier,
            num_compressions=self.cache.num_compressions,
            num_questions=self._num_questions,
            cache_bytes=self._memory.device_bytes,
            host_bytes=self._memory.host_bytes,
            recall_seconds=None if recall is None else recall + self._memory.retrieval_seconds,
            ttft_seconds=answer.ttft_seconds if answer else None,
            ttft_with_pending_seconds=answer.ttft_with_pending_seconds if answer else None,
            tokens_per_second=answer.tokens_per_second if answer else None,
        )

    def _prepare(self) -> None:
        """Fold in what waits, and recall what the policy leaves for a question, alone.

        Raises:
            VideoError: no frame was observed yet.
        """
        self._close_open_answer()
        self._check_seen()
        run(self._executor, self._preparing(self.intake.num_taken))

    def _preparing(self, until: int) -> Work[float]:
        """Fold in what waits of the first frames; recall what the policy leaves for a question.

        Args:
            until: how many frames of the stream the question is about.

        Returns:
            Seconds that the folding took.
        """
        began = time.perf_counter()
        while (missing := until - self.intake.num_gone) > 0:
            yield from self.folding(missing)
        wait_for(self.model.layout.device)
        folded = time.perf_counter()
        yield from self._memory.recalling()
        wait_for(self.model.layout.device)
        self._recall_seconds = time.perf_counter() - folded
        return folded - began

    def _check_seen(self) -> None:
        if not self._memory.num_frames and not self.intake.waiting:
            raise VideoError(
                "no frame was observed yet, so there is nothing to ask about; observe frames first"
            )

    def _close_open_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()
