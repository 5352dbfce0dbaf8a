"""One stream's life: frames are observed, questions are asked, the memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, Unpack, overload

from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.filters import choose_filter
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState
from hermes_stream.models import load_model
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.named import choose_policy
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.ask_options import SamplingOptions, WaitingOptions, sampling_of
from hermes_stream.stream.changes import Change, Listener
from hermes_stream.stream.decoding import Sampling
from hermes_stream.stream.evidence import Evidence, evidence_of
from hermes_stream.stream.executor import Executor, RunningWork
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.snapshot import Snapshot, refusing_options
from hermes_stream.stream.stats import SessionStats, shown
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.watches import Deferred, Watch, Watches, WatchKind
from hermes_stream.stream.watches.watches import OnEvent


class Session:
    """Watches one stream with a model and answers questions about it from a bounded memory.

    Several sessions may share a model. Threads may share a session: their calls wait for each other, so that
    a camera's thread and one that asks simply work. ``with Session(...)`` closes it at the end.

    Args:
        model: a loaded model, or what ``load_model`` takes.
        policy: what the memory keeps, or its name, fields behind it: ``"window:sink_tokens=4"``; None is
            ``HermesPolicy.best``, "hermes" by name. A budget that the model's positions do not hold is
            lowered, with a warning (see the attribute).
        budget_tokens: visual tokens that each layer keeps, for a policy given by name or None; None takes the
            model's default.
        fps: sample the observed frames by time at this rate, in frames per second; None takes every frame.
        chunk_frames: frames that are prefilled together, at least 1; fewer where they would take more than
            half of the model's positions (see the attribute).
        text_tokens: room for a question and its answer together, in tokens; None takes an eighth of the
            model's positions, at most 2,048.
        filter: what drops visual tokens before they are prefilled, with any policy, or its name; None drops
            none.
        still_below: frames that changed by fewer grey levels than this, in every block of 16 x 16 pixels,
            take the features of the last that was encoded, without the vision tower; None encodes all.
        kv_bits: 8 keeps keys and values in 8 bits, in less than half of the memory; None as the model makes
            them.
        guidance_from_questions: let the last question and its answer steer what the memory keeps, as the
            paper does. False where several people ask: no one's question decides what others can still ask.
        defers_compression: let a question behind a frame go before the compression, where it fits. Until a
            chunk needs the room, the memory is then over its budget by a chunk at most, in the same bytes.
        executor: runs the model; None makes one, which on a GPU captures the forwards of questions.

    Attributes:
        model: the model.
        policy: what the memory keeps in fact.
        fps: rate of sampling; None takes every frame.
        chunk_frames: frames that are prefilled together in fact; whole temporal patches where the model has
            them.
        watches: standing questions; see ``watch``.

    Raises:
        CapacityError: two frames and text do not fit the model's positions.
        ModelError: there is no such model.
        ValueError: an argument is out of its range.
    """

    def __init__(  # noqa: PLR0913 - one parameter per choice
        self,
        model: VideoModel | str | Path,
        policy: MemoryPolicy | str | None = None,
        *,
        budget_tokens: int | None = None,
        fps: float | None = None,
        chunk_frames: int = 16,
        text_tokens: int | None = None,
        filter: TokenFilter | str | None = None,
        still_below: float | None = None,
        kv_bits: int | None = None,
        guidance_from_questions: bool = True,
        defers_compression: bool = False,
        executor: Executor | None = None,
    ) -> None:
        model = model if isinstance(model, VideoModel) else load_model(model)
        options = StreamOptions(
            policy=choose_policy(policy, budget_tokens, model.card.default_budget_tokens),
            chunk_frames=chunk_frames,
            text_tokens=text_tokens,
            kv_bits=kv_bits,
            fps=fps,
            filter=choose_filter(filter),
            still_below=still_below,
            guidance_from_questions=guidance_from_questions,
            defers_compression=defers_compression,
        )
        self.model, self.fps = model, fps
        self._executor = executor or Executor.for_one_stream(model)
        self._stream = Stream(self._executor, options)
        self.policy, self.chunk_frames = self._stream.policy, self._stream.chunk_frames
        self.watches = Watches(self._stream)
        self._open_answer: Answer | None = None
        self._lock = RLock()

    @property
    def cache(self) -> StreamCache:
        """The stream's cache, for inspection."""
        return self._stream.cache

    def observe(
        self,
        frames: Any,
        *,
        fps: float | None = None,
        pts_seconds: float | Sequence[float] | None = None,
        max_image_pixels: int | None = None,
    ) -> None:
        """Watch frames; full chunks enter the memory at once, the rest waits for more or for a question.

        If this fails, frames up to the one it names are kept, and the session goes on working.

        Args:
            frames: a ``Frame``; a path of a video file, which is sampled at the session's rate or the
                model's; a numpy array or torch tensor, uint8 RGB ``[height, width, 3]`` or ``[frames, height,
                width, 3]``; a Pillow image; or an iterable of these, of any length. Times increase over the
                stream.
            fps: frames per second of pictures without times; they go on from the newest frame.
            pts_seconds: time of each picture without one, in seconds, instead of ``fps``.
            max_image_pixels: shrink larger pictures of a file while they become RGB, see ``FileSource``.

        Raises:
            ValueError: a frame is malformed, has no time, or is not later than the one before.
            VideoError: a file cannot be read.
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        shown = self._stream.frames_from(
            frames, fps=fps, pts_seconds=pts_seconds, max_image_pixels=max_image_pixels
        )
        for frame in shown:
            # the lock is held for a frame, not for a source that may go on for hours
            with self._lock:
                self._finish_open_answer()
                # before the frame, too: a chunk that failed waits in full
                self._fold_full_chunk()
                self._stream.intake.accept(frame)
                self._fold_full_chunk()

    def _fold_full_chunk(self) -> None:
        if self._stream.has_full_chunk:
            self._fold()
        self.watches.ask_now()  # also about what a question folded in

    def _fold(self) -> None:
        with self.watches.timing(is_watching=False):
            self._executor.run(self._stream.fold())

    def flush(self) -> None:
        """Fold the waiting frames into the memory now; raises as ``observe`` does."""
        with self._lock:
            self._finish_open_answer()
            while self._stream.intake.waiting:
                self._fold()
                self.watches.ask_now()

    @overload
    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        wait_seconds: None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Answer: ...

    @overload
    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        wait_seconds: float,
        **sampling: Unpack[WaitingOptions],
    ) -> Deferred: ...

    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        wait_seconds: float | None = None,
        **sampling: Unpack[WaitingOptions],
    ) -> Answer | Deferred:
        """Answer a question about the stream so far, frames that wait included; the memory stays as it is.

        When this returns, the first token exists; iterate the answer for pieces, or read its ``text``.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question; the answer is one of them.
            wait_seconds: let the question wait for its evidence, in seconds of the stream; see
                ``Watches.defer``, as with until and on_done. None answers now.
            **sampling: fields of ``Sampling``: max_new_tokens, temperature, ...

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            TypeError: there is no such option.
            ValueError: an argument is out of its range.
        """
        if wait_seconds is None:
            return self._ask(question, options, sampling_of(sampling))
        waits: Any = {"until": sampling.pop("until", None), "on_done": sampling.pop("on_done", None)}
        ask = partial(self._ask, question, options, sampling_of(sampling))
        with self._lock:
            return self.watches.defer(question, options, wait_seconds=wait_seconds, ask=ask, **waits)

    def _ask(self, question: str, options: Sequence[str] | None, sampling: Sampling) -> Answer:
        with self._lock:
            answer, work = self._stream.ask(question, options, sampling)
            self._finish_open_answer()
            running = RunningWork(self._executor, work)
            answer.attach(running.step, running.close, self._lock)
            self._open_answer = answer
            answer.wait_for_first()
        return answer

    def watch(
        self, question: str, kind: WatchKind = "alert", *, on_event: OnEvent | None = None, **rules: Any
    ) -> Watch:
        """Ask again after each chunk, and tell when the answer changes; see ``Watches.add``."""
        with self._lock:
            return self.watches.add(question, kind, on_event=on_event, **rules)

    def next_token_logits(
        self, question: str, options: Sequence[str] | None = None
    ) -> Float[Tensor, " vocabulary"]:
        """Return the logits of an answer's first token, float32, in host memory; see ``ask``."""
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
        """Return on which moments of the stream an answer's attention rests; see ``read_attention``."""
        return evidence_of(self.read_attention(question, options, answer_ids=answer_ids))

    @property
    def stats(self) -> SessionStats:
        """What this session has done and holds."""
        with self._lock:
            return self._stream.stats

    def fork(self) -> Session:
        """Return a second session of the same model with a copy of the memory; each goes its own way."""
        with self._lock:
            self._finish_open_answer()
            other = Session(self.model, **self._stream.options.as_arguments())
            other._stream.resemble(self._stream)
            return other

    def snapshot(self) -> Snapshot:
        """Return a copy of the memory in host memory, to be written when there is time.

        Raises:
            SnapshotError: policy or filter have fields that no file can hold.
        """
        with self._lock:
            self._finish_open_answer()
            return Snapshot.of(self._stream)

    def save(self, path: str | Path) -> Path:
        """Write the memory to one file, whole or not at all; ``restore`` goes on from it.

        Args:
            path: of the file, such as ``door.safetensors``; what has this name is replaced.
        """
        return self.snapshot().write(path)

    @classmethod
    def restore(
        cls,
        model: VideoModel | str | Path,
        saved: Snapshot | str | Path,
        *,
        policy: MemoryPolicy | None = None,
        filter: TokenFilter | None = None,
        executor: Executor | None = None,
    ) -> Session:
        """Return a session that goes on as the one that was saved, to the bit.

        Args:
            model: the one that it was made with, in the same dtype; or what ``load_model`` takes.
            saved: a file, or a snapshot in hand.
            policy: what the memory keeps, for a class of your own that no installed package names.
            filter: what drops visual tokens, likewise.
            executor: see ``Session``.

        Raises:
            SnapshotError: the file is damaged, of another format, another model's or another policy's.
        """
        snapshot = saved if isinstance(saved, Snapshot) else Snapshot.read(saved)
        model = model if isinstance(model, VideoModel) else load_model(model)
        options = snapshot.options_for(model, policy=policy, filter=filter)
        with refusing_options():
            session = cls(model, **options.as_arguments(), executor=executor)
        session._stream.restore(snapshot.state)
        return session

    @property
    def num_changes(self) -> int:
        """Changes of the memory so far; a snapshot knows its own."""
        return self._stream.changes.num_changes

    def record(self, listener: Listener | None) -> None:
        """Have someone told of each change from now on, so that it can be done again.

        Args:
            listener: is called where the change happens, and must be quick; None tells nobody.
        """
        with self._lock:
            self._stream.changes.listener = listener

    def replay(self, changes: Iterable[Change]) -> int:
        """Do what another session did from this one's state on; tell how many changes that were.

        Args:
            changes: in order; those that are in the memory already are left alone.

        Raises:
            SnapshotError: changes are missing, or cannot be done; those before are in the memory.
        """
        with self._lock:
            self._finish_open_answer()
            return self._stream.replay(changes)

    def __enter__(self) -> Session:
        """Return the session; it is closed where the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session(model={self.model.card.name!r}, {shown(self.policy, self.stats)})"

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
