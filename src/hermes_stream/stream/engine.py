"""Many streams on one model: chunks, compressions, questions and answers share forwards.

``add`` a stream, ``step`` until a step finds nothing to do: then it is done. Each stream asks for one forward
at a time, as it would alone (see ``work``); a step serves those of several streams together. Questions go
first; chunks fill what is left of a step, in turn, so that no stream waits for another's.

What it takes of a device beside the streams' buffers is bounded, however many ask. Texts of 128 streams at
most are read in a step, and 2,048 tokens in a forward; a chunk waits to be encoded while frames of 8,192
tokens are encoded and not in their memories yet. One request, or one chunk, that is larger goes alone.

Engine and streams belong to the thread that calls first. They know nothing of networks and clocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from hermes_stream.blocks import BufferBlocks
from hermes_stream.errors import CapacityError
from hermes_stream.filters import choose_filter
from hermes_stream.filters.base import TokenFilter
from hermes_stream.models import load_model
from hermes_stream.models.base import VideoModel
from hermes_stream.models.loading.footprint import free_bytes
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.named import choose_policy
from hermes_stream.stream.capacity import Capacity, stream_bytes
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.graphs import text_graphs
from hermes_stream.stream.handle import Overflow, StreamHandle
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.queue_limits import QUEUE_FRAMES, QUEUE_SECONDS, QueueLimits
from hermes_stream.stream.snapshot import Snapshot, refusing_options
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.threads import OneThread
from hermes_stream.stream.work import EncodeRequest, Request

_SHARE_OF_FREE = 0.8
_ENCODED_TOKENS = 8192
_STEP_TEXTS = 128


class Engine:
    """Runs the streams of one model.

    Args:
        model: a loaded model, or what ``load_model`` takes.
        memory_bytes: what the buffers of all streams may take together on the model's device, on a CPU with
            the frames that wait; None takes four fifths of what is free there now.
        step_tokens: tokens of chunks in one step, at most; a single chunk of more is served, and as many
            again may be encoded ahead.
        tokens_beside_questions: the same where questions are served in the step; a chunk that fits no step
            for long is let in all the same.
        patience_steps: how many steps with questions that is.
        queue_frames: frames of a stream that wait, at most; at least two chunks.
        queue_bytes: what they may take in host memory; None takes what so many frames, and a chunk in hand,
            take at the size that the model sees.
        queue_seconds: from the oldest of them to the newest, at most; two chunks may always wait.
        streams_per_block: streams of one shape whose buffers lie together, so that the tokens of their
            answers are written and read at once; room for so many is reserved when the first comes, if there
            is so much. 1 gives each stream buffers of its own.

    Attributes:
        model: the model.
        executor: serves the requests of all streams.
        memory_bytes: what the buffers of all streams may take together, on a CPU with the frames that wait.
        num_steps: steps so far.
        step_tokens: see above; may be changed between steps, by whoever measures how long they take.
        num_chunk_tokens: tokens of chunks that steps so far have served, those of encodes too.

    Raises:
        ModelError: there is no such model.
        ValueError: an argument is not a positive number.
    """

    def __init__(
        self,
        model: VideoModel | str | Path,
        *,
        memory_bytes: int | None = None,
        step_tokens: int = 2048,
        tokens_beside_questions: int = 256,
        patience_steps: int = 8,
        queue_frames: int = QUEUE_FRAMES,
        queue_bytes: int | None = None,
        queue_seconds: float = QUEUE_SECONDS,
        streams_per_block: int = 1,
    ) -> None:
        limits = {
            "streams_per_block": streams_per_block,
            "step_tokens": step_tokens,
            "tokens_beside_questions": tokens_beside_questions,
            "patience_steps": patience_steps,
        }
        for name, value in limits.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if memory_bytes is not None and memory_bytes < 0:
            raise ValueError(f"memory_bytes must be at least 0, got {memory_bytes}")
        if not isinstance(model, VideoModel):
            model = load_model(model)
        if memory_bytes is None:
            memory_bytes = int(_SHARE_OF_FREE * (free_bytes(model.layout.device) or 0)) or None
        self.model, self.memory_bytes = model, memory_bytes
        self.num_steps = self.num_chunk_tokens = 0
        self.step_tokens, self._tokens_beside_questions = step_tokens, tokens_beside_questions
        self._patience_steps = patience_steps
        self._limits_of = partial(
            QueueLimits.of,
            model,
            queue_frames=queue_frames,
            queue_bytes=queue_bytes,
            queue_seconds=queue_seconds,
        )
        self._limits_of(1)  # refuses limits that are none
        self._blocks = BufferBlocks(streams_per_block)
        self.executor = Executor(model, blocks=self._blocks, graphs=text_graphs(model))
        self._streams: list[StreamHandle] = []
        self._thread = OneThread()

    def __repr__(self) -> str:
        return (
            f"Engine(model={self.model.card.name!r}, num_streams={len(self._streams)}, "
            f"used_bytes={self.used_bytes}, memory_bytes={self.memory_bytes}, num_steps={self.num_steps})"
        )

    @property
    def streams(self) -> tuple[StreamHandle, ...]:
        """The streams that are open, in the order in which they came."""
        return tuple(self._streams)

    @property
    def used_bytes(self) -> int:
        """What the open streams take on the model's device, at most, and what is reserved beside them."""
        self._blocks.drop_empty()
        own = sum(one.stream.stats.cache_bytes + self._host_bytes(one.limits) for one in self._streams)
        return own + self._blocks.spare_bytes

    def _host_bytes(self, limits: QueueLimits) -> int:
        """Return what frames that wait take of the model's device, at most; that is nothing but on a CPU."""
        return limits.num_bytes if self.model.layout.device.type == "cpu" else 0

    def add(  # noqa: PLR0913 - one parameter per choice
        self,
        policy: MemoryPolicy | str | None = None,
        *,
        budget_tokens: int | None = None,
        overflow: Overflow = "wait",
        fps: float | None = None,
        chunk_frames: int = 16,
        text_tokens: int | None = None,
        filter: TokenFilter | str | None = None,
        still_below: float | None = None,
        kv_bits: int | None = None,
        guidance_from_questions: bool = False,
        defers_compression: bool = False,
    ) -> StreamHandle:
        """Open a stream, if there is room for it.

        Args:
            policy: see ``Session``, as with all arguments but ``overflow``.
            budget_tokens: see ``Session``.
            overflow: what happens to a frame when as many wait as may: "wait" does the engine's work until
                there is room; "drop_oldest" forgets the one that waits longest, for live streams.
            fps: see ``Session``.
            chunk_frames: see ``Session``.
            text_tokens: see ``Session``.
            filter: see ``Session``.
            still_below: see ``Session``.
            kv_bits: see ``Session``.
            guidance_from_questions: let the last conversation steer what the memory keeps, as the paper does
                and a ``Session`` by default. A stream of an engine is shared by whoever may ask: what one of
                them asked would decide what the others' answers can still know, so that it is off here.
            defers_compression: see ``Session``.

        Raises:
            CapacityError: the streams would take more memory than they may, or this one does not fit the
                model's positions.
            ValueError: an argument is out of its range.
        """
        self._thread.check()
        self._check_overflow(overflow)
        options = StreamOptions(
            policy=choose_policy(policy, budget_tokens, self.model.card.default_budget_tokens),
            chunk_frames=chunk_frames,
            text_tokens=text_tokens,
            kv_bits=kv_bits,
            fps=fps,
            filter=choose_filter(filter),
            still_below=still_below,
            guidance_from_questions=guidance_from_questions,
            defers_compression=defers_compression,
        )
        capacity = options.capacity(self.model)
        limits = self._limits_of(capacity.chunk_frames)
        self._admit(capacity, limits)
        stream = Stream(self.executor, options, capacity)
        self._blocks.room_bytes = 0  # a stream that begins anew reserves nothing
        return self._opened(stream, overflow, limits)

    def restore(
        self,
        saved: Snapshot | str | Path,
        *,
        overflow: Overflow = "wait",
        policy: MemoryPolicy | None = None,
        filter: TokenFilter | None = None,
    ) -> StreamHandle:
        """Open a stream that goes on as the one that was saved, if there is room for it.

        Args:
            saved: a file, or a snapshot in hand; of a session or of an engine's stream.
            overflow: see ``add``.
            policy: what the memory keeps, for a class of your own that no installed package names.
            filter: what drops visual tokens, likewise.

        Raises:
            SnapshotError: the file is damaged, of another format, another model's or another policy's.
            CapacityError: the streams would take more memory than they may.
        """
        self._thread.check()
        self._check_overflow(overflow)
        snapshot = saved if isinstance(saved, Snapshot) else Snapshot.read(saved)
        options = snapshot.options_for(self.model, policy=policy, filter=filter)
        with refusing_options():
            handle = self.add(overflow=overflow, **options.as_arguments())
        return self._filled(handle, lambda: handle.stream.restore(snapshot.state))

    def fork(self, handle: StreamHandle) -> StreamHandle:
        """Open a second stream with the memory of one; from here on each goes its own way.

        Raises:
            CapacityError: the streams would take more memory than they may.
        """
        handle.settle()
        other = self.add(overflow=handle.overflow, **handle.stream.options.as_arguments())
        return self._filled(other, lambda: other.stream.resemble(handle.stream))

    @staticmethod
    def _filled(handle: StreamHandle, fill: Callable[[], None]) -> StreamHandle:
        """Return a handle whose stream was filled, or close it."""
        try:
            fill()
        except BaseException:
            handle.close()
            raise
        return handle

    @staticmethod
    def _check_overflow(overflow: Overflow) -> None:
        if overflow not in get_args(Overflow):
            raise ValueError(f"overflow must be one of {', '.join(get_args(Overflow))}; got {overflow!r}")

    def _opened(self, stream: Stream, overflow: Overflow, limits: QueueLimits) -> StreamHandle:
        handle = StreamHandle(
            stream,
            step=self.step,
            check_thread=self._thread.check,
            leave=self._streams.remove,
            overflow=overflow,
            limits=limits,
        )
        handle.served_in_step = self.num_steps
        self._streams.append(handle)
        return handle

    def _admit(self, capacity: Capacity, limits: QueueLimits) -> None:
        if self.memory_bytes is None:
            self._blocks.room_bytes = None
            return
        needed, used = stream_bytes(self.model, capacity), self.used_bytes
        if needed is None:
            raise CapacityError(
                f"{type(capacity.policy).__name__} has no budget, so its memory has no bound, and the "
                f"engine's is {self.memory_bytes} bytes; use a policy with a budget, such as hermes"
            )
        needed += self._host_bytes(limits) - self._blocks.reserved_bytes(capacity.slots_of_layer)
        self._blocks.room_bytes = self.memory_bytes - used - needed
        if used + needed > self.memory_bytes:
            raise CapacityError(
                f"{len(self._streams)} streams take {used} of the engine's {self.memory_bytes} bytes, and "
                f"one more takes {needed}; close a stream, or lower its budget_tokens, chunk_frames or "
                f"text_tokens, or the engine's queue_frames"
            )

    @torch.inference_mode()
    def step(self) -> bool:
        """Serve what streams ask for, as much as one step holds.

        Returns:
            False when there is nothing to do: no question, and no full chunk.
        """
        self._thread.check()
        chosen, room = self._choose()
        if not chosen:
            # work that asked for nothing may have been done
            return any(handle.is_ready for handle in self._streams)
        self.num_steps += 1
        self.num_chunk_tokens += sum(handle.cost_tokens for handle in chosen)
        requests = []
        for handle in chosen:
            requests.append(handle.requests(may_encode_ahead=room > 0))
            room -= handle.stream.chunk_tokens * (len(requests[-1]) - 1)
        began = time.perf_counter()
        outcomes = iter(self.executor.serve_apart([one for own in requests for one in own]))
        took, patch_tokens = time.perf_counter() - began, self.model.card.tokens_per_temporal_patch
        shares = [_num_tokens(own, patch_tokens) for own in requests]
        for handle, own, share in zip(chosen, requests, shares, strict=True):
            handle.receive([next(outcomes) for _ in own], seconds=took * share / max(sum(shares), 1))
            handle.served_in_step = self.num_steps
        for handle in chosen:
            handle.watches.deliver()  # who listens may ask, and read, which takes steps
        return True

    def run(self) -> None:
        """Step until there is nothing to do."""
        while self.step():
            pass

    def _choose(self) -> tuple[list[StreamHandle], int]:
        """Choose what a step serves: text, then chunks that a question waits for, then other chunks.

        Text of questions and answers is a few tokens a stream, and that of so many streams is served. Chunks
        are served as far as they fit, the stream that was not served for longest first. The first chunk that
        a question waits for always fits, as does the first where there is no question, or where it lost
        patience. A chunk that is not encoded yet waits until what is encoded has entered its memory.

        Returns:
            What is served, and tokens of chunks that may be encoded ahead.
        """
        ready = sorted(
            (handle for handle in self._streams if handle.is_ready), key=lambda one: one.served_in_step
        )
        asking = [handle for handle in ready if handle.has_question]
        texts = [handle for handle in asking if handle.cost_tokens == 0]
        chosen = [handle for handle in texts[:_STEP_TEXTS] if handle.begin()]
        done = {*chosen, *texts[_STEP_TEXTS:]}
        room, may_exceed, encoded = self.step_tokens, True, _Encoded(asking)
        for handle in asking:
            cost = handle.cost_tokens
            if handle not in done and (may_exceed or cost <= room) and encoded.let(handle):
                room, may_exceed = room - cost, False
                chosen.append(handle)
        if asking:
            room, may_exceed = min(room, self._tokens_beside_questions), False
        patience, asked = self._patience_steps, set(asking)  # also those whose question fails meanwhile
        encoded = _Encoded([handle for handle in self._streams if handle not in asked])
        for handle in ready:
            cost, waited = handle.cost_tokens, self.num_steps - handle.served_in_step
            fits = may_exceed or cost <= room or waited >= patience
            if handle not in asked and fits and encoded.let(handle):
                room, may_exceed, patience = room - cost, False, self.num_steps + 1
                chosen.append(handle)
        return chosen, min(room if asking else self.step_tokens, encoded.room)


class _Encoded:
    """Frames of some streams that are encoded and not in their memories yet; they are bounded.

    Those that a question waits for and others are counted apart, so that neither waits for the other's.

    Args:
        handles: the streams.
    """

    def __init__(self, handles: Sequence[StreamHandle]) -> None:
        self._num_tokens = sum(handle.encoded_tokens for handle in handles)
        self._is_full = False

    def let(self, handle: StreamHandle) -> bool:
        """Begin what a stream does next, if what it encodes fits; tell whether it asks for something."""
        more = handle.num_to_encode
        if more and self._num_tokens and self._num_tokens + more > _ENCODED_TOKENS:
            self._is_full = True
            return False
        if not handle.begin():
            return False
        self._num_tokens += more
        return True

    @property
    def room(self) -> int:
        """Tokens that may be encoded ahead of their turn: none while somebody waits for his."""
        return 0 if self._is_full else _ENCODED_TOKENS - self._num_tokens


def _num_tokens(requests: Sequence[Request], patch_tokens: int) -> int:
    """Return tokens that requests let enter a forward, or that their frames will make."""
    return sum(
        one.num_patches * patch_tokens if isinstance(one, EncodeRequest) else one.num_tokens
        for one in requests
    )
