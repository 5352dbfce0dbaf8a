"""One stream of an engine: the questions that wait, and the work in hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

from hermes_stream.errors import CapacityError
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.ask_options import SamplingOptions, sampling_of
from hermes_stream.stream.changes import Change, Listener
from hermes_stream.stream.executor import Failure
from hermes_stream.stream.queue_limits import QueueLimits
from hermes_stream.stream.snapshot import Snapshot
from hermes_stream.stream.stats import SessionStats, shown
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.watches import Deferred, Watch, Watches, WatchKind
from hermes_stream.stream.watches.watches import OnEvent
from hermes_stream.stream.work import EncodeRequest, ForwardRequest, Request, Work
from hermes_stream.video.frame import Frame

Overflow = Literal["wait", "drop_oldest"]


class StreamHandle:
    """A stream that an engine works on; made by ``Engine.add``.

    A question sees the frames that were observed before it, and no later ones. Chunks and questions are done
    one after the other, so that every answer is the one that a session would give alone.

    Args:
        stream: the stream; nobody else may use it while the handle is open.
        step: does the engine's next step.
        check_thread: refuses a call from a thread that does not own the engine.
        leave: takes the handle out of the engine.
        overflow: what happens to a frame when as many wait as may.
        limits: of what waits.

    Attributes:
        stream: for inspection: ``cache``, ``policy``, ``chunk_frames``.
        limits: of what waits.
        served_in_step: when it was served last.
        watches: standing questions; see ``watch``.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        step: Callable[[], bool],
        check_thread: Callable[[], None],
        leave: Callable[[StreamHandle], None],
        overflow: Overflow,
        limits: QueueLimits,
    ) -> None:
        self.stream = stream
        self.served_in_step = 0
        self.watches = Watches(stream)
        self._is_watching = False
        self._step, self._check_thread, self._leave = step, check_thread, leave
        self.overflow, self.limits = overflow, limits
        self._questions: deque[tuple[Answer, Work[None]]] = deque()
        self._work: Work[None] | None = None
        self._answer: Answer | None = None
        self._request: Request | None = None
        self._failure: Exception | None = None
        self._is_open, self._entering_tokens = True, 0

    def observe(
        self,
        frames: Any,
        *,
        fps: float | None = None,
        pts_seconds: float | Sequence[float] | None = None,
        max_image_pixels: int | None = None,
    ) -> None:
        """Let frames wait for their chunks.

        What went wrong with a chunk since the last call is raised here, or by ``ask``, once; its frames wait
        and are tried again.

        Args:
            frames: see ``Session.observe``, as with all arguments.
            fps: frames per second of pictures without times.
            pts_seconds: time of each picture without one, in seconds.
            max_image_pixels: pixels of a file's picture, at most.

        Raises:
            ValueError: a frame is malformed, has no time, is not later than the one before, or too large for
                the queue.
            VideoError: a file cannot be read.
            ThreadError: another thread owns the engine.
            CapacityError: the handle is closed, or its policy has no bound and the positions are used up.
        """
        self._check()
        shown = self.stream.frames_from(
            frames, fps=fps, pts_seconds=pts_seconds, max_image_pixels=max_image_pixels
        )
        for frame in shown:
            self.stream.intake.accept(frame, self._make_room)

    def _make_room(self, frame: Frame) -> None:
        self.limits.check(frame)
        intake = self.stream.intake
        while self.limits.are_reached(intake, frame):
            if self.overflow == "drop_oldest":
                intake.forget(0)
            else:
                self._step()
                self._check()

    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        steers: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Answer:
        """Ask about the frames observed so far. The engine's steps make the answer; so does reading it.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.
            steers: whether this question steers what the memory keeps; None as the stream was opened.
            **sampling: fields of ``Sampling``: max_new_tokens, temperature, ...

        Raises:
            CapacityError: the handle is closed, or question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ThreadError: another thread owns the engine.
            TypeError: there is no such option.
            ValueError: an argument is out of its range.
        """
        self._check()
        answer, work = self.stream.ask(question, options, sampling_of(sampling), steers=steers)
        answer.attach(self._step, lambda: self._abandon(answer))
        if self._is_watching:  # people go first; the watches are still due
            self._drop_work()
        self._questions.append((answer, work))
        return answer

    def ask_when(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        wait_seconds: float,
        until: str | None = None,
        on_done: Callable[[Deferred], object] | None = None,
        steers: bool | None = None,
        **sampling: Unpack[SamplingOptions],
    ) -> Deferred:
        """Ask once the evidence is there; see ``Watches.defer``. The engine's steps look, ask and tell."""
        self._check_open()
        sampling_of(sampling)
        waits: dict[str, Any] = {"wait_seconds": wait_seconds, "until": until, "on_done": on_done}
        ask = partial(self.ask, question, options, steers=steers, **sampling)
        return self.watches.defer(question, options, ask=ask, **waits)

    def watch(
        self, question: str, kind: WatchKind = "alert", *, on_event: OnEvent | None = None, **rules: Any
    ) -> Watch:
        """Ask again after each chunk, and tell when the answer changes; see ``Watches.add``.

        The engine's steps ask, and tell: after questions, before the next chunk. ``on_event`` is called by
        ``Engine.step``.

        Raises:
            ThreadError: another thread owns the engine.
            CapacityError: the handle is closed; the question does not fit; there are too many watches.
            ModelError: the vocabulary does not have the answers as words.
            ValueError: an argument is out of its range.
        """
        self._check_open()
        return self.watches.add(question, kind, on_event=on_event, **rules)

    @property
    def num_dropped_frames(self) -> int:
        """Frames that were forgotten because too many waited."""
        return self.stream.intake.num_forgotten

    @property
    def is_settled(self) -> bool:
        """Whether no chunk and no answer is in hand, so that the memory can be copied at once."""
        return self._work is None

    def settle(self) -> None:
        """Do the engine's steps until nothing of this stream is in hand; questions that wait go on waiting.

        Raises:
            ThreadError: another thread owns the engine.
            CapacityError: the handle is closed.
        """
        self._check_open()
        while not self.is_settled:
            self._step()

    def snapshot(self) -> Snapshot:
        """Return a copy of the memory in host memory, once it is settled; another thread may write it.

        Questions that wait are not part of it.

        Raises:
            SnapshotError: policy or filter have fields that no file can hold.
            ThreadError: another thread owns the engine.
        """
        self.settle()
        return Snapshot.of(self.stream)

    def save(self, path: str | Path) -> Path:
        """Write the memory to one file; see ``Session.save`` and ``Engine.restore``."""
        return self.snapshot().write(path)

    @property
    def num_changes(self) -> int:
        """Changes of the memory so far; a snapshot knows its own."""
        return self.stream.changes.num_changes

    def record(self, listener: Listener | None) -> None:
        """Have someone told of each change from now on; see ``Session.record``."""
        self._check_thread()
        self.stream.changes.listener = listener

    def replay(self, changes: Iterable[Change]) -> int:
        """Do recorded changes again, before anything else; see ``Session.replay``."""
        self.settle()
        return self.stream.replay(changes)

    @property
    def stats(self) -> SessionStats:
        """What the stream has done and holds.

        Raises:
            ThreadError: another thread owns the engine.
        """
        self._check_thread()
        return self.stream.stats

    def __enter__(self) -> StreamHandle:
        """Return the stream; it leaves the engine where the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"StreamHandle({shown(self.stream.policy, self.stream.stats)})"

    def close(self) -> None:
        """Give up all that waits, and leave the engine; safe to repeat. Another thread gets a ThreadError."""
        self._check_thread()
        if not self._is_open:
            return
        self._is_open = False
        self.watches.give_up()
        for answer, _ in tuple(self._questions):
            answer.close()
        if self._answer is not None:
            self._answer.close()
        self._drop_work()
        self._leave(self)

    def _check(self) -> None:
        """Raise what went wrong with a chunk, once."""
        self._check_open()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _check_open(self) -> None:
        self._check_thread()
        if not self._is_open:
            raise CapacityError("this stream was closed; add another one to the engine")

    @property
    def has_question(self) -> bool:
        """Whether a question is in hand or waits."""
        return self._answer is not None or bool(self._questions)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to do: work in hand, a question, a watch that is due, a full chunk."""
        if self._work is not None or self._questions or self.watches.is_due:
            return True
        return self._failure is None and self.stream.has_full_chunk

    @property
    def cost_tokens(self) -> int:
        """Tokens of frames, or of watches, that the next request takes; 0 for a person's question.

        An encode takes as many as its frames will make.
        """
        if self._request is None:
            if self.watches.is_due and not self._questions:
                return self.watches.cost_tokens
            return self.stream.num_pending_tokens
        if isinstance(self._request, EncodeRequest):
            return self._request.num_patches * self.stream.model.card.tokens_per_temporal_patch
        is_question = self._request.wants_logits and not self._is_watching
        return 0 if is_question else self._request.num_tokens

    @property
    def encoded_tokens(self) -> int:
        """Tokens of frames that are encoded, some ahead of their turn, and not in the memory yet."""
        return self._entering_tokens + self.stream.memory.encoder.num_ahead_tokens

    @property
    def num_to_encode(self) -> int:
        """Tokens of frames that the next request encodes, at most."""
        is_poll = self._request is None and not self._questions and self.watches.is_due
        is_encoded = self.stream.memory.encoder.num_ahead_tokens or isinstance(self._request, ForwardRequest)
        return 0 if is_poll or is_encoded else self.cost_tokens

    def begin(self) -> bool:
        """Take the next work in hand, if there is none; tell whether it asks for something."""
        if self._work is not None:
            return True
        if self._questions:
            self._answer, self._work = self._questions.popleft()
        elif self.watches.is_due:
            self._is_watching, self._work = True, self.watches.poll()
        else:
            self._work = self.stream.fold()
        self._advance(next)
        return self._work is not None

    def requests(self, *, may_encode_ahead: bool) -> list[Request]:
        """Return what the work asks for; while a chunk is prefilled, also an encode of the next.

        Args:
            may_encode_ahead: whether the step has room for that.
        """
        assert self._request is not None
        ahead, is_forward = None, isinstance(self._request, ForwardRequest)
        # a live stream drops what is old: what was encoded ahead might never be folded in
        if may_encode_ahead and is_forward and not self.has_question and self.overflow == "wait":
            with suppress(Exception):  # the chunk's own turn will tell
                ahead = self.stream.request_ahead()
        return [self._request] if ahead is None else [self._request, ahead]

    def receive(self, outcomes: Sequence[Any], *, seconds: float) -> None:
        """Give the work what it asked for, or raise inside it; note what it asks for next.

        Args:
            outcomes: of ``requests``.
            seconds: what they took.
        """
        if self._answer is None:
            self.watches.spend(seconds, is_watching=self._is_watching)
        outcome, *ahead = outcomes
        if ahead and not isinstance(ahead[0], Failure):
            self.stream.receive_ahead(ahead[0])
        if isinstance(outcome, Failure):
            self._advance(lambda work: work.throw(outcome.error))
        else:
            self._advance(lambda work: work.send(outcome))

    def _advance(self, resume: Callable[[Work[None]], Request]) -> None:
        assert self._work is not None
        encoded = self.num_to_encode or self._entering_tokens or self.stream.chunk_tokens
        try:
            self._request = resume(self._work)
            is_entering = isinstance(self._request, ForwardRequest) and not self._request.wants_logits
            self._entering_tokens = encoded if is_entering else 0
        except StopIteration:
            self._end()
        except BaseException as error:
            answer = self._answer
            self._end()  # after Ctrl-C too: the work is over, and what it asked for must not be served
            if not isinstance(error, Exception):
                raise
            if answer is None:
                self._failure = error
            elif not answer.is_done:
                answer.fail(error)

    def _end(self) -> None:
        if self._answer is not None and self._answer.is_done:
            self._answer.detach()  # else stream and answer would keep each other, and the memory with them
        self._work = self._answer = self._request = None
        self._is_watching, self._entering_tokens = False, 0

    def _drop_work(self) -> None:
        if self._work is not None:
            self._work.close()
        self._end()

    def _abandon(self, answer: Answer) -> None:
        self._check_thread()
        if answer is self._answer:
            self._drop_work()
        else:
            self._questions = deque(waiting for waiting in self._questions if waiting[0] is not answer)
