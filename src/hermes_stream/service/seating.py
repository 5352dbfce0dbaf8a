"""A stream's place on the engine: opened anew, from disk, or from another memory; in the engine's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hermes_stream.errors import (
    BrokenMemoryError,
    CapacityError,
    HermesError,
    OtherModelError,
    SnapshotError,
)
from hermes_stream.service.bringing_back import tell_restored
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.live_stream import LiveStream, OpenQuestion
from hermes_stream.service.memory_on_disk import SavedMemory
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.handle import StreamHandle

log = logging.getLogger(__name__)
MakeHandle = Callable[[Engine], StreamHandle]
HasEnded = Callable[[ServedStream, OpenQuestion], None]


def add(engine: Engine, choices: StreamChoices) -> StreamHandle:
    """Open a stream on an engine, its memory empty."""
    return engine.add(
        choices.memory_policy(engine.model),
        chunk_frames=choices.chunk_frames,
        text_tokens=choices.text_tokens,
        filter=choices.token_filter,
        still_below=choices.still_below,
        kv_bits=choices.kv_bits,
        defers_compression=True,
    )


def with_policy(engine: Engine, served: ServedStream, choices: StreamChoices) -> StreamHandle:
    """Open a second stream that remembers what a stream does, and keeps it by other choices.

    Args:
        engine: of both.
        served: has its place there.
        choices: other policy and budget, all else the same.

    Raises:
        CapacityError: there is no room for both, or what is remembered does not fit the new budget.
    """
    handle = served.require_live().handle
    handle.settle()
    if not _fits(engine, handle, choices):
        raise CapacityError(
            f"stream {served.row.name!r} remembers up to {max(handle.stream.cache.num_visual_tokens)} tokens "
            f"in a layer, and {choices.policy!r} with budget_tokens={choices.budget_tokens} has no room for "
            "them; choose a budget that is no smaller"
        )
    other = add(engine, choices)
    try:
        other.stream.restore(handle.stream.saved())
    except SnapshotError as error:
        other.close()
        raise CapacityError(
            f"what stream {served.row.name!r} remembers is of no use to {choices.policy!r} ({error}); choose "
            "a policy that reads the memory alone, or open a new stream"
        ) from error
    return other


def _fits(engine: Engine, handle: StreamHandle, choices: StreamChoices) -> bool:
    """Tell whether a memory and one more chunk fit the buffers of other choices."""
    stream, capacity = handle.stream, choices.capacity(engine.model)
    if capacity.policy.budget_tokens is None:  # its buffers grow
        return True
    needed = stream.cache.num_prefix_tokens + stream.chunk_tokens
    held = zip(stream.cache.num_visual_tokens, capacity.slots_of_layer, strict=True)
    return all(count + needed <= slots for count, slots in held)


def seat(
    engine: Engine,
    served: ServedStream,
    *,
    thread: EngineThread,
    has_ended: HasEnded,
    make: MakeHandle | None = None,
) -> SavedMemory | None:
    """Give a stream its place on the engine.

    Args:
        engine: has room for it.
        served: has no place.
        thread: of the engine.
        has_ended: is told of each question that is over.
        make: opens it; None opens what is on disk, or an empty memory where nothing is.

    Returns:
        A snapshot that was written on the way; its row is still to be made.

    Raises:
        CapacityError: there is no room.
        SnapshotError: what is on disk cannot be restored.
    """
    handle = make(engine) if make is not None else _restored(engine, served) or add(engine, served.choices)
    try:
        saved = _begin_record(served, handle, is_other_memory=make is not None)
    except BaseException:
        handle.close()
        raise

    def has_failed(error: Exception) -> None:
        log.warning("stream %s: a chunk waits: %s", served.row.name, error)
        if isinstance(error, BrokenMemoryError):  # between two steps, since it is in the middle of one
            thread.submit(lambda engine: _reseat(engine, served, handle, thread=thread, has_ended=has_ended))

    newest = handle.stream.intake.newest_seconds
    served.go_on(newest, is_back=make is None)
    served.restored_until_seconds = newest
    served.live = LiveStream(
        handle,
        served.ring,
        executor=engine.executor,
        pictures=served.pictures,
        has_ended=lambda question: has_ended(served, question),
        has_failed=has_failed,
    )
    served.failure = None
    thread.register(served.live)
    served.standing.attach(
        handle,
        epoch=served.row.epoch,
        pictures=served.pictures,
        chunk_frames=served.choices.watched_chunk_frames(engine.model),
        time_zone=served.choices.time_zone,
    )
    thread.register(served.standing)
    return saved


def _restored(engine: Engine, served: ServedStream) -> StreamHandle | None:
    """Return a stream as it is on disk; None where it begins anew."""
    if served.disk is None:
        return None
    try:
        return served.disk.restore(engine)
    except OtherModelError as error:
        if not served.disk.is_shared:
            raise
        # replicas change their model one after the other, and none is left that could restore it
        served.tell("memory_lost", reason=str(error))
        return None


def _begin_record(served: ServedStream, handle: StreamHandle, *, is_other_memory: bool) -> SavedMemory | None:
    if served.disk is None:
        return None
    if is_other_memory:
        return served.disk.begin_anew(handle, epoch=served.row.epoch)
    return served.disk.begin(handle, epoch=served.row.epoch)


def _reseat(
    engine: Engine, served: ServedStream, broken: StreamHandle, *, thread: EngineThread, has_ended: HasEnded
) -> None:
    """Open a stream from disk whose memory broke; the others go on."""
    if served.live is None or served.live.handle is not broken:
        return
    unseat(served, thread, "the stream's memory broke, and is restored; ask again")
    try:
        seat(engine, served, thread=thread, has_ended=has_ended)
    except HermesError as error:
        served.failure = f"its memory broke, and could not be restored: {error}"
        log.error("stream %s: %s", served.row.name, served.failure)
        return
    tell_restored(served)


def is_asked(served: ServedStream) -> bool:
    """Tell whether a stream has questions that are not answered yet; in the engine's thread."""
    return served.live is not None and served.live.num_open_questions > 0


def unseat(served: ServedStream, thread: EngineThread, reason: str) -> None:
    """Take a stream's place away, and end its questions; safe to repeat."""
    live, served.live = served.live, None
    thread.unregister(served.standing)
    served.standing.detach()
    if live is not None:
        thread.unregister(live)
        live.close(reason)
    if served.disk is not None:
        served.disk.close()
