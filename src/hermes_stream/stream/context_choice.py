"""Which context the questions of a stream read; its policy says so."""

from __future__ import annotations

from hermes_stream.retrieval.retriever import Retriever
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.held_frames import FrameBuffer, HeldFrames
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.retrieved_context import RetrievedContext


def choose_context(memory: StreamMemory, capacity: Capacity) -> QuestionContext:
    """Return what the policy's questions read.

    Args:
        memory: the stream's memory.
        capacity: what the stream takes of positions and memory.
    """
    policy = memory.policy
    if policy.rebuilds_at_question and policy.budget_tokens is not None:
        return HeldFrames(memory, FrameBuffer(memory.model, policy.budget_tokens), capacity)
    if (spec := policy.retrieval()) is None:
        return memory
    retriever = Retriever(
        memory.cache, spec, max_positions=capacity.chunk_positions, text_tokens=capacity.text_tokens
    )
    return RetrievedContext(memory, retriever)
