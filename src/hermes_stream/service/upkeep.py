"""What is done now and then: save memories, tell losses, forget pictures, keep record and heap in bounds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

from hermes_stream.errors import ClosedError
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.heap import trim_heap
from hermes_stream.service.retention import Retention
from hermes_stream.service.saving import Saving
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.shown import without_folders
from hermes_stream.service.store import Store
from hermes_stream.service.stream_registry import StreamRegistry
from hermes_stream.stream.engine import Engine

log = logging.getLogger(__name__)
_LOSSES_SECONDS = 10.0
_PICTURES_SECONDS = 60.0
_HEAP_SECONDS = 60.0
_RETENTION_SECONDS = 600.0


class Upkeep:
    """Does it in a thread of its own; what fails is logged, and tried again the next time.

    Args:
        registry: the streams.
        thread: of the engine.
        saving: writes memories.
        store: the record.
        retention: deletes what is too old or too much.
        snapshot_every_seconds: how often a memory that changed is saved.
    """

    def __init__(
        self,
        registry: StreamRegistry,
        *,
        thread: EngineThread,
        saving: Saving,
        store: Store,
        retention: Retention,
        snapshot_every_seconds: float,
    ) -> None:
        self._registry, self._thread, self._saving = registry, thread, saving
        self._store, self._retention = store, retention
        self._stopped = Event()
        self._tasks: list[tuple[float, Callable[[], object]]] = [
            (_LOSSES_SECONDS, self.tell_losses),
            (_LOSSES_SECONDS, self.keep_watches),
            (_PICTURES_SECONDS, self.forget_pictures),
            (_HEAP_SECONDS, trim_heap),
            (snapshot_every_seconds, self.save_all),
            (_RETENTION_SECONDS, self.keep_bounds),
        ]
        self._runner = Thread(target=self._run, name="hermes-upkeep", daemon=True)
        self._runner.start()

    def stop(self) -> None:
        """Stop after the task in hand; safe to repeat."""
        self._stopped.set()
        self._runner.join()

    def _run(self) -> None:
        due = {index: time.monotonic() + seconds for index, (seconds, _) in enumerate(self._tasks)}
        while not self._stopped.wait(max(0.0, min(due.values()) - time.monotonic())):
            for index, (seconds, task) in enumerate(self._tasks):
                if time.monotonic() >= due[index] and not self._stopped.is_set():
                    self._attempt(task)
                    due[index] = time.monotonic() + seconds

    @staticmethod
    def _attempt(task: Callable[[], object]) -> None:
        try:
            task()
        except ClosedError:
            pass  # there is nothing to keep up any more
        except Exception:
            log.exception("upkeep failed")

    def tell_losses(self) -> None:
        """Record frames that were lost since the last time."""
        known = [(served, served.live) for served in self._registry.all()]
        if not known:
            return
        memories = self._thread.run(lambda _: [live.status if live else None for _, live in known])
        for (served, _), memory in zip(known, memories, strict=True):
            served.tell_drops(memory)

    def keep_watches(self) -> None:
        """Record how far standing questions are."""
        streams = self._registry.all()

        def keep(_: Engine) -> None:
            for served in streams:
                served.standing.keep()

        if streams:
            self._thread.run(keep)

    def save_all(self) -> None:
        """Save every memory that has changed."""
        for served in self._registry.all():
            if self._stopped.is_set():
                return
            try:
                self._saving.save(served)
            except ClosedError:
                raise
            except Exception as error:
                log.warning("stream %s could not be saved: %s", served.row.name, error)
                served.tell("snapshot_failed", reason=without_folders(str(error)))

    def forget_pictures(self) -> None:
        """Delete pictures of moments that no memory holds, unless an answer shows them."""
        for served in self._registry.all():
            self._forget_pictures(served)

    def _forget_pictures(self, served: ServedStream) -> None:
        live, pictures = served.live, served.pictures
        if live is None or pictures is None:
            return
        status, layers = self._thread.run(lambda _: (live.status, live.moments))
        if status.folded_until_seconds is None:
            return
        moments = {seconds for layer in layers for seconds in layer.seconds}
        cited = self._store.questions.cited_pictures(served.row.id)
        cited |= self._store.incidents.cited_pictures(served.row.id)
        pictures.keep_only(moments, cited, status.folded_until_seconds)

    def keep_bounds(self) -> None:
        """Delete what is too old or too much."""
        self._retention.sweep(self._registry.all())
