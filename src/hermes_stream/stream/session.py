"""One stream's life: frames are observed, questions are asked, the memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import RLock

from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.capacity import plan_capacity
from hermes_stream.stream.decoding import Sampling
from hermes_stream.stream.evidence import Evidence, evidence_of
from hermes_stream.stream.executor import Executor, RunningWork
from hermes_stream.stream.stats import SessionStats
from hermes_stream.stream.stream import Stream
from hermes_stream.video.frame import Frame


class Session:
    """Watches one stream with a model and answers questions about it from a bounded memory.

    Several sessions may share a model. Threads may share a session: their calls wait for each other, so that
    a camera's thread and one that asks simply work.

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
            take the features of the last that was encoded, without the vision tower; None encodes all.
        kv_bits: 8 keeps keys and values in 8 bits, in less than half of the memory; None as the model makes
            them.
        executor: runs the model; None makes one, which on a GPU captures the forwards of questions.

    Attributes:
        model: the model.
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
        capacity = plan_capacity(
            model,
            policy or HermesPolicy.paper(budget_tokens=model.card.default_budget_tokens),
            chunk_frames=chunk_frames,
            text_tokens=text_tokens,
            kv_bits=kv_bits,
        )
        self.model, self.policy, self.chunk_frames = model, capacity.policy, capacity.chunk_frames
        self._executor = executor or Executor.for_one_stream(model)
        self._stream = Stream(self._executor, capacity, fps=fps, token_filter=filter, still_below=still_below)
        self._open_answer: Answer | None = None
        self._lock = RLock()

    @property
    def cache(self) -> StreamCache:
        """The stream's cache, for inspection."""
        return self._stream.cache

    def observe(self, frames: Iterable[Frame] | Frame) -> None:
        """Watch frames; full chunks enter the memory at once, the rest waits for more or for a question.

        If this fails, frames up to the one it names are kept, and the session goes on working.

        Args:
            frames: any number of frames, timestamps increasing over the whole stream.

        Raises:
            ValueError: a frame is malformed or not later than the one before.
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        for frame in [frames] if isinstance(frames, Frame) else frames:
            # the lock is held for a frame, not for a source that may go on for hours
            with self._lock:
                self._finish_open_answer()
                # before the frame, too: a chunk that failed waits in full
                self._fold_full_chunk()
                self._stream.intake.accept(frame)
                self._fold_full_chunk()

    def _fold_full_chunk(self) -> None:
        if self._stream.has_full_chunk:
            self._executor.run(self._stream.fold())

    def flush(self) -> None:
        """Fold the waiting frames into the memory now.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        with self._lock:
            self._finish_open_answer()
            while self._stream.intake.waiting:
                self._executor.run(self._stream.fold())

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
            max_new_tokens: tokens of the answer, at most; None takes what room there is, up to 256.
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
        with self._lock:
            answer, work = self._stream.ask(question, options, sampling)
            self._finish_open_answer()
            running = RunningWork(self._executor, work)
            answer.attach(running.step, running.close, self._lock)
            self._open_answer = answer
            answer.wait_for_first()
        return answer

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
        with self._lock:
            self._finish_open_answer()
            return self._executor.run(self._stream.next_token_logits(question, options)).cpu()

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
        reading = self._stream.read_attention(
            question, options, answer_ids=answer_ids, whole_question=whole_question
        )
        with self._lock:
            self._finish_open_answer()
            return self._executor.run(reading)

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
        with self._lock:
            return self._stream.stats

    def close(self) -> None:
        """Give up an answer that is not read to its end; the session may go on. Safe to repeat."""
        with self._lock:
            if self._open_answer is not None:
                self._open_answer.close()

    def _finish_open_answer(self) -> None:
        """Make the rest of an answer that is still read, before what it reads changes."""
        if self._open_answer is not None:
            self._open_answer.finish()
            self._open_answer = None
