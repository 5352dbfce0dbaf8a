"""What a service says of itself: how much fits on it, and how a stream is that does not run here."""

from __future__ import annotations

from hermes_stream.models.base import VideoModel
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.shown import shown_source
from hermes_stream.service.status import ServiceCapacity, StreamStatus
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.stream.capacity import stream_bytes


def capacity_of(
    model: VideoModel,
    settings: ServiceSettings,
    thread: EngineThread,
    *,
    num_streams: int,
    num_open_questions: int,
) -> ServiceCapacity:
    """Return how much fits, and what limits it; waits for a step of the engine.

    Args:
        model: watches.
        settings: of the service.
        thread: of the engine.
        num_streams: that are open.
        num_open_questions: that wait or are being answered.
    """
    choices = StreamChoices.resolve(model, settings)
    one = stream_bytes(model, choices.capacity(model))
    memory, used = thread.run(lambda engine: (engine.memory_bytes, engine.used_bytes))
    by_count = max(0, settings.max_streams - num_streams)
    by_memory = by_count if memory is None or not one else max(0, (memory - used) // one)
    token_seconds = thread.frame_token_seconds
    limit = (
        f"max_streams is {settings.max_streams}"
        if by_count <= by_memory
        else f"streams take {used} of {memory} bytes, and one more takes {one}"
    )
    return ServiceCapacity(
        num_streams=num_streams,
        max_streams=settings.max_streams,
        more_streams=min(by_count, by_memory),
        limit=limit,
        memory_bytes=memory,
        used_bytes=used,
        stream_bytes=one,
        num_open_questions=num_open_questions,
        max_open_questions=settings.max_questions,
        busy_share=thread.busy.share,
        stage_seconds=thread.stage_seconds,
        frame_seconds=None if token_seconds is None else token_seconds * 2 * _frame_tokens(model),
    )


def closed_status(row: StreamRow) -> StreamStatus:
    """Return how a stream of the record is that has no place here: closed, or another replica's."""
    choices = StreamChoices.read(row.options)
    return StreamStatus(
        name=row.name,
        state="closed" if row.state == "closed" else "waiting",
        reason=None if row.state == "closed" else "it is at another replica, or about to be",
        source=shown_source(row.source),
        policy=choices.policy,
        budget_tokens=choices.budget_tokens,
        filter=choices.filter,
        fps=choices.fps,
        chunk_frames=choices.chunk_frames,
        owner=row.owner,
        epoch=row.epoch,
        zero_wall_seconds=row.zero_wall_seconds,
        created_wall_seconds=row.created_wall_seconds,
    )


def _frame_tokens(model: VideoModel) -> float:
    return model.card.tokens_per_temporal_patch / model.card.frames_per_temporal_patch
