"""Many streams on one model: chunks, compressions, questions and answers share forwards.

``add`` a stream, ``step`` until a step finds nothing to do: then it is done. Each stream asks for one forward
at a time, as it would alone (see ``work``); a step serves those of several streams together. Questions go
first; chunks fill what is left of a step, in turn, so that no stream waits for another's.

The engine runs in the thread of whoever calls ``step``. It knows nothing of networks and clocks.
"""

from __future__ import annotations

from typing import Any, get_args

import torch

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.loading.footprint import free_bytes
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.stream.capacity import Capacity, fit, stream_bytes
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.handle import Overflow, StreamHandle
from hermes_stream.stream.session import Session

_SHARE_OF_FREE = 0.8


class Engine:
    """Runs the streams of one model.

    Args:
        model: a loaded model.
        memory_bytes: what the buffers of all streams may take together on the model's device; None takes four
            fifths of what is free there now.
        step_tokens: most tokens of chunks in one step.
        tokens_beside_questions: the same where questions are served in the step; a chunk that fits no step
            for long is let in all the same.
        patience_steps: how many steps with questions that is.
        queue_frames: most frames of a stream that wait, at least two chunks.

    Attributes:
        model: the model.
        executor: serves the requests of all streams.
        memory_bytes: what the buffers of all streams may take together.
        num_steps: steps so far.

    Raises:
        ValueError: an argument is below 1.
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        memory_bytes: int | None = None,
        step_tokens: int = 2048,
        tokens_beside_questions: int = 256,
        patience_steps: int = 8,
        queue_frames: int = 64,
    ) -> None:
        limits = {
            "step_tokens": step_tokens,
            "tokens_beside_questions": tokens_beside_questions,
            "patience_steps": patience_steps,
            "queue_frames": queue_frames,
        }
        for name, value in limits.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if memory_bytes is not None and memory_bytes < 0:
            raise ValueError(f"memory_bytes must be at least 0, got {memory_bytes}")
        if memory_bytes is None:
            memory_bytes = int(_SHARE_OF_FREE * (free_bytes(model.layout.device) or 0)) or None
        self.model, self.memory_bytes = model, memory_bytes
        self.num_steps = 0
        self._step_tokens, self._tokens_beside_questions = step_tokens, tokens_beside_questions
        self._patience_steps, self._queue_frames = patience_steps, queue_frames
        self.executor = Executor(model)
        self._channels: list[StreamHandle] = []

    @property
    def channels(self) -> tuple[StreamHandle, ...]:
        """The streams that are open, in the order in which they came."""
        return tuple(self._channels)

    @property
    def used_bytes(self) -> int:
        """What the buffers of the open streams take on the model's device."""
        return sum(channel.session.stats.cache_bytes for channel in self._channels)

    def add(
        self,
        policy: MemoryPolicy | None = None,
        *,
        overflow: Overflow = "wait",
        chunk_frames: int = 16,
        text_tokens: int | None = None,
        kv_bits: int | None = None,
        **how: Any,
    ) -> StreamHandle:
        """Open a stream, if there is room for it.

        Args:
            policy: what its memory keeps; None as for ``Session``.
            overflow: what happens to a frame when as many wait as may: "wait" does the engine's work until
                there is room; "drop_oldest" forgets the one that waits longest, for live streams.
            chunk_frames: frames that are prefilled together.
            text_tokens: room for a question and its answer.
            kv_bits: 8 keeps keys and values in 8 bits.
            **how: further arguments of ``Session``: fps, filter.

        Raises:
            CapacityError: the streams would take more memory than they may, or this one does not fit the
                model's positions.
            ValueError: an argument is out of its range.
        """
        if overflow not in get_args(Overflow):
            raise ValueError(f"overflow must be one of {', '.join(get_args(Overflow))}; got {overflow!r}")
        policy = policy or HermesPolicy.paper(budget_tokens=self.model.card.default_budget_tokens)
        wish: dict[str, Any] = {"chunk_frames": chunk_frames, "text_tokens": text_tokens, "kv_bits": kv_bits}
        fitted = fit(self.model, policy, **wish)
        self._admit(fitted)
        session = Session(self.model, fitted.policy, **wish, **how, executor=self.executor)
        most = max(self._queue_frames, 2 * session.chunk_frames)
        channel = StreamHandle(
            session, step=self.step, leave=self._channels.remove, overflow=overflow, queue_frames=most
        )
        channel.served_in_step = self.num_steps
        self._channels.append(channel)
        return channel

    def _admit(self, fitted: Capacity) -> None:
        if self.memory_bytes is None:
            return
        needed, used = stream_bytes(self.model, fitted), self.used_bytes
        if needed is None:
            raise CapacityError(
                f"{type(fitted.policy).__name__} has no budget, so its memory has no bound, and the engine's "
                f"is {self.memory_bytes} bytes; use a policy with a budget, such as hermes"
            )
        if used + needed > self.memory_bytes:
            raise CapacityError(
                f"{len(self._channels)} streams take {used} of the engine's {self.memory_bytes} bytes, and "
                f"one more takes {needed}; close a stream, or lower its budget_tokens, chunk_frames or "
                f"text_tokens"
            )

    @torch.inference_mode()
    def step(self) -> bool:
        """Serve what streams ask for, as much as one step holds.

        Returns:
            False when there is nothing to do: no question, and no full chunk.
        """
        chosen = self._choose()
        if not chosen:
            return False
        self.num_steps += 1
        requests = [channel.requests() for channel in chosen]
        try:
            results = iter(self.executor.serve([one for own in requests for one in own]))
        except Exception as error:
            for channel in chosen:
                channel.throw(error)
        else:
            for channel, own in zip(chosen, requests, strict=True):
                channel.send([next(results) for _ in own])
                channel.served_in_step = self.num_steps
        return True

    def run(self) -> None:
        """Step until there is nothing to do."""
        while self.step():
            pass

    def _choose(self) -> list[StreamHandle]:
        """Take all streams with a question, then others while they fit, the longest not served first.

        The first of these fits always where there is no question, and where it lost patience.
        """
        ready = [channel for channel in self._channels if channel.is_ready]
        chosen = [channel for channel in ready if channel.has_question and channel.begin()]
        room = self._tokens_beside_questions if chosen else self._step_tokens
        patience = self._patience_steps if chosen else 0
        others = [channel for channel in ready if not channel.has_question]
        for channel in sorted(others, key=lambda one: one.served_in_step):
            fits = channel.cost_tokens <= room or self.num_steps - channel.served_in_step >= patience
            if fits and channel.begin():
                room, patience = room - channel.cost_tokens, self.num_steps + 1
                chosen.append(channel)
        return chosen
