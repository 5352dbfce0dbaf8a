"""The parts of a running service, put together, looked at, and taken apart in order."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Condition
from typing import Any

from hermes_stream.errors import ClosedError, HermesError, ServiceError
from hermes_stream.models.base import VideoModel
from hermes_stream.service.broker import bridge_to_broker
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.events import NewEvent
from hermes_stream.service.incident_desk import IncidentDesk
from hermes_stream.service.incident_keeper import IncidentKeeper
from hermes_stream.service.journal import Committer
from hermes_stream.service.looking_at import capacity_of, closed_status
from hermes_stream.service.memory_on_disk import MemoryOnDisk
from hermes_stream.service.ownership.membership import Membership
from hermes_stream.service.ownership.tenant import Tenant
from hermes_stream.service.pictures import StreamPictures
from hermes_stream.service.question_desk import QuestionDesk
from hermes_stream.service.record import Record
from hermes_stream.service.remote_journals import RemoteJournals
from hermes_stream.service.remote_snapshots import RemoteSnapshots
from hermes_stream.service.retention import Retention
from hermes_stream.service.ring import RingLimits
from hermes_stream.service.saving import Saving
from hermes_stream.service.served_stream import ServedStream, Surroundings
from hermes_stream.service.service_folder import ServiceFolder
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.shown import without_folders
from hermes_stream.service.standing import Standing
from hermes_stream.service.status import Health, RememberedMoments, ServiceCapacity, StreamStatus
from hermes_stream.service.store import Store
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_registry import StreamRegistry
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.service.upkeep import Upkeep
from hermes_stream.service.watch_desk import WatchDesk
from hermes_stream.service.webhook_desk import WebhookDesk
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.handle import StreamHandle

log = logging.getLogger(__name__)
_STALE_SECONDS = 30.0


class Running:
    """Everything that runs behind a ``Service``.

    Args:
        model: watches.
        data_dir: folder of the service.
        settings: of the service.
        membership: of one of several services on one record; None for a service that is alone.

    Attributes:
        folder: of the service, locked.
        store: the record.
        thread: of the engine.
        registry: the streams.
        saving: writes memories.
        desk: takes questions.
        record, watches, incidents, webhooks: see ``Service``.

    Raises:
        StoreError: the folder or the record cannot be used.
    """

    def __init__(
        self,
        model: VideoModel,
        data_dir: Path,
        settings: ServiceSettings,
        membership: Membership | None = None,
    ) -> None:
        self._model, self._settings, self._membership = model, settings, membership
        self._state_changed = Condition()
        self._is_ready = self._is_closing = self._is_closed = False
        began = time.monotonic()
        self._parts = ExitStack()  # closed in the reverse of the order in which they were made
        try:
            self._build(data_dir)
            self.registry.recover()
            self._tell_broker()
        except BaseException:
            self._parts.close()
            raise
        self.tell(
            "service_started",
            model=model.card.name,
            num_streams=len(self.registry.all()),
            recovery_seconds=time.monotonic() - began,
        )
        self._is_ready = True
        if membership is not None:
            membership.start(
                Tenant(self.registry, replica_id=membership.id, capacity=self.capacity, health=self.health)
            )

    def _make_engine(self) -> Engine:
        settings = self._settings
        return Engine(
            self._model,
            memory_bytes=settings.memory_bytes,
            queue_frames=1,
            streams_per_block=settings.streams_per_block,
        )

    def _build(self, data_dir: Path) -> None:
        model, settings, membership = self._model, self._settings, self._membership
        self.folder = ServiceFolder(data_dir, shared=membership is not None)
        self._parts.callback(self.folder.close)
        self.store = Store(self.folder.path, settings.store, shared=membership is not None)
        self._parts.callback(self.store.close)
        if membership is not None:
            membership.join(self.store, model.card.name)
            self._parts.callback(membership.leave)
        self._remote = self._remote_journals = None
        if settings.snapshots_url is not None:
            self._remote = RemoteSnapshots(settings.snapshots_url, num_kept=settings.keep_snapshots)
            self._parts.callback(self._remote.close)
        if settings.snapshots_url is not None and membership is not None and settings.journal:
            self._remote_journals = RemoteJournals(
                settings.snapshots_url, every_seconds=settings.send_journal_every_seconds
            )
            self._parts.callback(self._remote_journals.close)
        self._committer = self._parts.enter_context(Committer())
        self.thread = EngineThread(
            self._make_engine,
            step_seconds=settings.step_seconds,
            restore=self._restore,
            give_up=self._give_up,
            may_answer=None if membership is None else lambda: membership.is_current,
        )
        self._parts.callback(self.thread.close)
        self.saving = Saving(
            self.folder.path, self.store, self.thread, keep_snapshots=settings.keep_snapshots
        )
        self.desk = QuestionDesk(self.thread, self.store.questions, settings)
        self._around = Surroundings(
            shrink=model.shrink,
            tell=self.store.tell,
            wake=self.thread.wake,
            change_row=self.store.streams.change_soon,
            silence_seconds=settings.silence_seconds,
        )
        self.registry = StreamRegistry(
            model,
            self.store,
            settings,
            make_served=self._make_served,
            thread=self.thread,
            saving=self.saving,
            has_ended=self.desk.has_ended,
        )
        self.record = Record(self.store.database, self.folder.path)
        self._build_watches()
        self._upkeep = Upkeep(
            self.registry,
            thread=self.thread,
            saving=self.saving,
            store=self.store,
            retention=Retention(
                self.folder, self.store, settings, None if membership is None else membership.is_first
            ),
            snapshot_every_seconds=settings.snapshot_every_seconds,
        )
        self._parts.callback(self._upkeep.stop)

    def _build_watches(self) -> None:
        settings = self._settings
        self.watches = WatchDesk(
            self._model,
            self.registry,
            thread=self.thread,
            rows=self.store.watches,
            settings=settings,
            pictures=self.folder.pictures,
        )
        self.incidents = IncidentDesk(self.store.incidents, self.registry)
        self.webhooks = WebhookDesk(self.store, base_url=settings.public_url or "")
        self._parts.callback(self.webhooks.close)
        keeper = IncidentKeeper(self.registry, self.store, self.desk)
        self._parts.callback(keeper.stop)

    def _tell_broker(self) -> None:
        self.mqtt = bridge_to_broker(
            self._settings,
            model=self._model.card.name,
            streams=lambda: self.statuses(closed=False),
            watches=self.watches,
            store=self.store,
            folder=self.folder,
        )
        if self.mqtt is not None:
            self._parts.callback(self.mqtt.stop)

    def _make_served(self, row: StreamRow, choices: StreamChoices) -> ServedStream:
        settings, folder = self._settings, self.folder
        pictures = disk = None
        if settings.pictures != "none" and not row.is_temporary:
            pictures = StreamPictures(folder.pictures, row.folder, settings.picture_pixels)
        if not row.is_temporary:
            disk = MemoryOnDisk(
                folder.snapshots / row.folder,
                folder.journals / row.folder if settings.journal else None,
                self._committer,
                self._remote,
                remote_journals=self._remote_journals,
                by_epoch=self._membership is not None,
            )
        limits = RingLimits(
            num_frames=settings.ring_frames, num_bytes=settings.ring_bytes, seconds=settings.ring_seconds
        )
        rows = () if row.is_temporary else self.store.watches.of_stream(row.id)
        standing = Standing(rows, tell=self.store.tell, save=self.store.watches.save_states_soon)
        return ServedStream(
            row,
            choices,
            limits=limits,
            pictures=pictures,
            disk=disk,
            standing=standing,
            around=self._around,
        )

    def _restore(self, engine: Engine, error: Exception) -> None:
        """Open all streams on a new engine; in the engine's thread."""
        self.tell(
            "engine_failed", reason=f"{type(error).__name__}: {error}", num_failures=self.thread.num_failures
        )
        self.registry.reseat(engine)

    def _give_up(self, error: Exception) -> None:
        log.error("there is no engine any more: %s", error)
        if hasattr(self, "store"):
            self.tell("engine_failed", reason=f"{type(error).__name__}: {error}", is_final=True)
        with self._state_changed:
            self._state_changed.notify_all()

    def tell(self, kind: str, **payload: Any) -> None:
        """Record an event of the whole service."""
        self.store.tell(NewEvent(kind=kind, wall_seconds=time.time(), payload=payload))

    def check_open(self) -> None:
        """Check that the service takes work.

        Raises:
            ClosedError: it does not.
        """
        if self.thread.failure is not None:
            raise ClosedError(f"the engine has failed: {self.thread.failure}; start the service again")
        if self._is_closing:
            raise ClosedError("the service is closing; ask it again once it is started")
        if self._membership is not None:
            self._membership.check()

    def status(self, served: ServedStream) -> StreamStatus:
        """Return how a stream is now."""
        live = served.live
        return self._named(served.status(None if live is None else self.thread.run(lambda _: live.status)))

    def _named(self, status: StreamStatus) -> StreamStatus:
        """Say at which replica a stream is."""
        return status if self._membership is None else replace(status, replica=self._membership.name)

    def status_of(self, row: StreamRow) -> StreamStatus:
        """Return how a stream is now, open or closed."""
        for served in self.registry.all():
            if served.row.id == row.id:
                return self.status(served)
        return closed_status(row)

    def statuses(self, *, closed: bool) -> tuple[StreamStatus, ...]:
        """Return how all open streams are now, and the closed ones."""
        streams = self.registry.all()
        known = [(served, served.live) for served in streams]
        # one visit to the engine's thread for all
        memories = self.thread.run(lambda _: [live.status if live else None for _, live in known])
        found = [
            self._named(served.status(memory)) for (served, _), memory in zip(known, memories, strict=True)
        ]
        if closed:
            rows = [row for row in self.store.streams.all() if row.state == "closed"]
            found += [self.status_of(row) for row in rows]
        return tuple(found)

    def moments(self, served: ServedStream) -> RememberedMoments:
        """Return which moments a memory keeps."""
        live = served.require_live()
        layers = self.thread.run(lambda _: live.moments)
        moments = {seconds for layer in layers for seconds in layer.seconds}
        pictures = {} if served.pictures is None else served.pictures.find_all(moments)
        return RememberedMoments(layers=layers, pictures=pictures)

    def fork(self, name: str, new_name: str, snapshot: int | None, owner: int | None) -> ServedStream:
        """Open a second stream with a stream's memory; see ``Service.fork``."""
        row = self.registry.row(name)
        if snapshot is None:
            live = self.registry.find(name).require_live()
        else:
            path = self.saving.path_of(self.saving.find(row.id, snapshot))

        def make(engine: Engine) -> StreamHandle:
            return engine.fork(live.handle) if snapshot is None else engine.restore(path)

        choices = StreamChoices.read(row.options)
        made = self.registry.open_from(new_name, choices, make, row.zero_wall_seconds, owner=owner)
        if made.pictures is not None:
            pictures = StreamPictures(self.folder.pictures, row.folder, self._settings.picture_pixels)
            made.pictures.copy_from(pictures)
        return made

    def capacity(self) -> ServiceCapacity:
        """Return how much fits, and what limits it."""
        return capacity_of(
            self._model,
            self._settings,
            self.thread,
            num_streams=len(self.registry.all()),
            num_open_questions=self.desk.num_open,
        )

    def health(self) -> Health:
        """Return whether the service lives and takes work; never waits for the engine."""
        writer, step_seconds = self.store.writer, self.thread.busy.step_seconds
        failure = self.thread.failure
        is_live = self.thread.is_alive and failure is None
        reasons = [f"the engine has failed: {failure}"] if failure is not None else []
        if step_seconds > _STALE_SECONDS:
            is_live = False
            reasons.append(f"a step of the engine has taken {step_seconds:.0f} s so far")
        if writer.failure is not None:
            reasons.append(f"the record cannot be written: {without_folders(str(writer.failure))}")
        for served in self.registry.all():
            if served.disk is not None and served.disk.failure is not None:
                why = without_folders(served.disk.failure)
                reasons.append(f"the journal of stream {served.row.name!r} stopped: {why}")
        for what, remote in (("snapshots", self._remote), ("journals", self._remote_journals)):
            if remote is not None and remote.failure is not None:
                why = without_folders(remote.failure)
                reasons.append(f"{what} cannot be sent to {remote.name}: {why}")
        if self._is_closing:
            reasons.append("the service is closing")
        return Health(
            is_live=is_live,
            is_ready=is_live and self._is_ready and not self._is_closing,
            reasons=tuple(reasons),
            step_seconds=step_seconds,
            num_waiting_writes=writer.num_waiting,
            num_lost_events=writer.num_lost_events,
            num_engine_failures=self.thread.num_failures,
        )

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait until the service is closed, or its engine is gone for good; see ``Service.wait``."""
        with self._state_changed:
            self._state_changed.wait_for(
                lambda: self._is_closed or self.thread.failure is not None, timeout_seconds
            )
        if self.thread.failure is not None:
            raise ServiceError(f"the engine has failed for good: {self.thread.failure}")
        return self._is_closed

    def close(self, drain_seconds: float) -> None:
        """Stop in order; see ``Service.close``."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._membership is None:
            for served in self.registry.all():
                served.leave_source()
        deadline = time.monotonic() + drain_seconds
        while self.desk.num_open and time.monotonic() < deadline and self.thread.failure is None:
            time.sleep(0.02)
        if self._membership is not None:
            self._membership.withdraw()
        for served in self.registry.all():
            served.stop_feed()
        self._save_all()
        self.tell("service_stopped")
        self._parts.close()
        with self._state_changed:
            self._is_closed = True
            self._state_changed.notify_all()

    def _save_all(self) -> None:
        for served in self.registry.all():
            try:
                self.saving.save(served)
                self.registry.unseat(served, "the service was closed")
            except (HermesError, OSError) as error:
                log.warning("stream %s could not be saved: %s", served.row.name, error)
