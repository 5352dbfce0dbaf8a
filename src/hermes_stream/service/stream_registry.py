"""The streams of a service: opened, found, closed, renamed, deleted, and brought back after a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from threading import RLock
from typing import Any

from hermes_stream.errors import CapacityError, HermesError, StreamExistsError, UnknownStreamError
from hermes_stream.models.base import VideoModel
from hermes_stream.service.absent_stream import absent_stream
from hermes_stream.service.bringing_back import open_source_again, tell_restored
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.names import check_stream_name
from hermes_stream.service.opening_again import check_owner, check_source, choices_again
from hermes_stream.service.saving import Saving
from hermes_stream.service.seating import HasEnded, MakeHandle, is_asked, seat, unseat, with_policy
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.settings import ServiceSettings, StreamSettings
from hermes_stream.service.shown import shown_source, without_folders
from hermes_stream.service.source_opening import OpenedSource, SourceOpener
from hermes_stream.service.store import Store
from hermes_stream.service.stream_choices import OpenRequest, StreamChoices
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.stream.engine import Engine
from hermes_stream.video.sources.policy import SourcePolicy

log = logging.getLogger(__name__)
_ANSWERS_SECONDS, _LOOK_SECONDS = 10.0, 0.02
_LATER = object()
MakeServed = Callable[[StreamRow, StreamChoices], ServedStream]


class StreamRegistry:
    """Opens streams and finds them by name. Threads may share it.

    Args:
        model: watches.
        store: the record.
        settings: of the service.
        make_served: makes a stream of its row, with no place on the engine yet.
        thread: of the engine.
        saving: writes memories.
        has_ended: is told of each question that is over.
    """

    def __init__(
        self,
        model: VideoModel,
        store: Store,
        settings: ServiceSettings,
        *,
        make_served: MakeServed,
        thread: EngineThread,
        saving: Saving,
        has_ended: HasEnded,
    ) -> None:
        self._model, self._store, self._settings = model, store, settings
        self._make_served, self._thread, self._saving = make_served, thread, saving
        self._has_ended = has_ended
        self._sources = SourceOpener.of(model, settings.picture_pixels)
        self._streams: dict[str, ServedStream] = {}
        self._num_temporary = 0
        self._changing = RLock()  # streams are opened and closed one at a time

    def all(self) -> tuple[ServedStream, ...]:
        """Return the streams that are open, in the order in which they were opened."""
        return tuple(self._streams.values())

    def find(self, name: str) -> ServedStream:
        """Return the open stream of a name.

        Raises:
            UnknownStreamError: there is none.
            NotOwnerError: it is open, and another replica's.
        """
        served = self._streams.get(name)
        if served is None:
            raise absent_stream(name, tuple(self._streams), self._store)
        return served

    def row(self, name: str) -> StreamRow:
        """Return the row of a stream, open or closed.

        Raises:
            UnknownStreamError: there is none.
        """
        row = self._row(name)
        if row is None:
            raise UnknownStreamError(f"there is no stream {name!r}, neither open nor closed")
        return row

    def _row(self, name: str) -> StreamRow | None:
        served = self._streams.get(name)
        return served.row if served is not None else self._store.streams.find(name)

    def open(self, request: OpenRequest) -> ServedStream:
        """Open a stream, a new one or one that is recorded; see ``Service.open_stream``."""
        name = check_stream_name(request.name)
        choices = self._choices(request)
        with self._changing:
            row, served = self._row(name), self._streams.get(name)
            if row is None:
                opened = self._sources.open(request.source, choices, None, None)
                return self._open_new(name, opened, choices, owner=request.owner)
            choices = choices_again(row, choices, request)
            # refused before anything is changed; opened again below, where the stream's clock stands
            named = self._sources.open(request.source, choices, row, None)
            is_other = check_source(row, named, replaces=request.replace_source)
            if served is not None and (named is None or (served.has_feed and not is_other)):
                return served
            check_owner(row, request)
            served = served or self._open_again(row, choices)
            if named is not None:
                self._start_feed(served, request.source, choices, is_other=is_other)
            return served

    def _start_feed(
        self, served: ServedStream, source: Any, choices: StreamChoices, *, is_other: bool
    ) -> None:
        if is_other:
            served.stop_feed()
        newest, before = served.ring.counts.newest_seconds, served.row.source
        opened = self._sources.open(source, choices, served.row, newest, is_other=is_other)
        assert opened is not None
        if is_other:
            served.tell("source_changed", source=shown_source(opened.address), before=shown_source(before))
        served.start_feed(opened)

    def _choices(self, request: OpenRequest) -> StreamChoices:
        own = self._settings.model_dump(include=set(StreamSettings.model_fields), exclude_unset=True)
        settings = StreamSettings.model_validate(own | dict(request.choices))
        policy = SourcePolicy(allow=request.allow_sources, private_networks=request.private_networks)
        return StreamChoices.resolve(self._model, settings, request.source_options, policy)

    def open_temporary(self, request: OpenRequest) -> ServedStream:
        """Open a stream that is in no record, whose frames are pushed; see ``Service.open_stream``.

        Raises:
            StreamExistsError: there is a stream of that name.
        """
        name = check_stream_name(request.name)
        if request.source is not None:
            raise ValueError("frames of a temporary stream are pushed; leave its source out")
        with self._changing:
            self._check_free(name)
            self._check_room()
            self._num_temporary += 1
            row = StreamRow.temporary(name, self._num_temporary, request.owner)
            served = self._make_served(row, self._choices(request))
            self._seat(served, None)
            return served

    def _open_new(
        self,
        name: str,
        opened: OpenedSource | None,
        choices: StreamChoices,
        *,
        make: MakeHandle | None = None,
        owner: int | None = None,
    ) -> ServedStream:
        self._check_room()
        row = self._store.streams.add(name, options=choices.as_json(), owner=owner, wall_seconds=time.time())
        served = self._make_served(row, choices)
        try:
            self._seat(served, make)
        except BaseException:
            self._delete(served)
            raise
        address = None if opened is None else opened.address
        served.tell("stream_opened", source=shown_source(address), options=choices.as_json())
        if opened is not None:
            served.start_feed(opened)
        return served

    def _delete(self, served: ServedStream) -> None:
        # first said, then done: what is cut short is finished at the next start, whichever replica's that is
        self._store.streams.change(served.row.id, state="deleting", replica_id=None)
        served.delete_files()
        self._store.streams.remove(served.row.id)

    def _check_room(self) -> None:
        if len(self._streams) >= self._settings.max_streams:
            raise CapacityError(
                f"{len(self._streams)} streams are open, and max_streams is {self._settings.max_streams}; "
                "close a stream, or raise it"
            )

    def _open_again(self, row: StreamRow, choices: StreamChoices) -> ServedStream:
        """Open a stream that is recorded and not open; what is left of its memory is restored."""
        self._check_room()
        owner = self._store.database.replica_id
        fields: dict[str, Any] = {"state": "open", "epoch": row.epoch + 1, "options": choices.as_json()}
        fields["replica_id"] = owner
        served = self._make_served(replace(row, **fields), choices)
        if owner is not None:  # first taken: another replica may be about to, too
            self._store.streams.change(row.id, **fields)
        try:
            if served.disk is not None:
                served.disk.fetch()
            self._seat(served, None)
        except BaseException:
            if owner is not None:
                self._store.streams.change(row.id, state="closed", replica_id=None)
            raise
        if owner is None:
            self._store.streams.change(row.id, **fields)
        tell_restored(served)
        return served

    def open_from(
        self,
        name: str,
        choices: StreamChoices,
        make: MakeHandle,
        zero_wall_seconds: float | None,
        *,
        owner: int | None,
    ) -> ServedStream:
        """Open a new stream with a memory that there is already; its frames are pushed.

        Args:
            name: of the new stream.
            choices: of the memory's stream.
            make: opens it on the engine.
            zero_wall_seconds: of its clock.
            owner: number of the key in whose name it is opened.

        Raises:
            StreamExistsError: there is a stream of that name.
        """
        check_stream_name(name)
        with self._changing:
            self._check_free(name)
            own = replace(choices, source={}, allow=None, private_networks=())
            served = self._open_new(name, None, own, make=make, owner=owner)
            if zero_wall_seconds is not None:
                served.change_row(zero_wall_seconds=zero_wall_seconds)
            return served

    def _check_free(self, name: str) -> None:
        if self._row(name) is not None:
            raise StreamExistsError(
                f"there is a stream {name!r} already, open or closed; choose another name"
            )

    def replace_memory(self, served: ServedStream, make: MakeHandle) -> None:
        """Give an open stream another memory, once its questions are answered from the old one.

        Raises:
            SnapshotError: the memory cannot be restored; the stream keeps its own.
        """
        deadline = time.monotonic() + _ANSWERS_SECONDS

        def change(engine: Engine) -> Any:
            if is_asked(served) and time.monotonic() < deadline:
                return _LATER
            handle = make(engine)  # first: where it fails, nothing has changed
            # later than all that is on disk, whatever number of frames the memory has
            served.change_row(epoch=served.row.epoch + 1)
            unseat(served, self._thread, "the stream's memory was replaced; ask again")
            return seat(engine, served, thread=self._thread, has_ended=self._has_ended, make=lambda _: handle)

        with self._changing:
            while (saved := self._thread.run(change)) is _LATER:
                time.sleep(_LOOK_SECONDS)
            if saved is not None:
                self._saving.record(served, saved)

    def set_policy(self, name: str, policy: str, budget_tokens: int | None) -> ServedStream:
        """Let a stream's memory keep by another policy from now on; see ``Service.set_policy``."""
        with self._changing:
            served = self.find(name)
            old = served.choices
            settings = StreamSettings(policy=policy, budget_tokens=budget_tokens or old.budget_tokens)
            resolved = StreamChoices.resolve(self._model, settings)
            choices = replace(old, policy=policy, budget_tokens=resolved.budget_tokens)
            self.replace_memory(served, lambda engine: with_policy(engine, served, choices))
            served.choices = choices
            served.change_row(options=choices.as_json())
            served.tell("policy_changed", policy=policy, budget_tokens=choices.budget_tokens)
            return served

    def recover(self) -> None:
        """Finish what was being deleted when the service ended, and bring back what was open."""
        is_alone = self._store.database.replica_id is None  # replicas take what is open by and by
        for row in self._store.streams.all():
            if row.state == "deleting" and (is_alone or row.replica_id is None):
                self._delete(self._make_served(row, StreamChoices.read(row.options)))
            elif row.state == "open" and is_alone:
                self._store.streams.change(row.id, epoch=row.epoch + 1)
                self.adopt(replace(row, epoch=row.epoch + 1))

    def _bring_back(self, served: ServedStream) -> None:
        name = served.row.name
        try:
            if served.disk is not None:
                served.disk.fetch()
            self._seat(served, None)
        except HermesError as error:
            # it stays listed, with the reason: what is on disk is not given up
            served.failure = f"its memory could not be restored: {error}"
            self._streams[name] = served
            log.error("stream %s: %s", name, served.failure)
            served.tell("source_state", state="failed", what="failed", reason=without_folders(served.failure))
            return
        tell_restored(served)
        open_source_again(served, self._sources)

    def reseat(self, engine: Engine) -> None:
        """Open all streams on a new engine, from disk; in the engine's thread.

        Raises:
            HermesError: one cannot be opened.
        """
        for served in self.all():
            if served.failure is None:
                served.live = None
                if served.disk is not None:
                    served.disk.close()
                seat(engine, served, thread=self._thread, has_ended=self._has_ended)
                tell_restored(served)

    def close(self, name: str, *, delete: bool) -> None:
        """Close a stream; see ``Service.close_stream``."""
        with self._changing:
            row, served = self.row(name), self._streams.get(name)
            if served is not None:
                self._leave(served, f"stream {name!r} was closed", saves=not delete)
            if row.is_temporary:
                return
            if not delete:
                self._store.streams.change(row.id, state="closed", replica_id=None)
                if served is not None:
                    served.tell("stream_closed", pts_seconds=served.ring.counts.newest_seconds)
                return
            self._delete(served or self._make_served(row, StreamChoices.read(row.options)))

    def _leave(self, served: ServedStream, reason: str, *, saves: bool) -> None:
        served.stop_feed()
        if saves and not served.row.is_temporary:
            self._save(served)
        self._thread.run(lambda _: unseat(served, self._thread, reason))
        self._streams = {own: one for own, one in self._streams.items() if one is not served}

    def adopt(self, row: StreamRow) -> None:
        """Open a stream of the record that this replica has taken, from disk."""
        with self._changing:
            self._bring_back(self._make_served(row, StreamChoices.read(row.options)))

    def release(self, served: ServedStream, reason: str, *, saves: bool) -> None:
        """Close a stream here that is open in the record, and goes on elsewhere.

        Args:
            served: the stream.
            reason: what whoever waits for an answer is told.
            saves: save its memory; not where it is another's already.
        """
        with self._changing:
            self._leave(served, reason, saves=saves)

    def unseat(self, served: ServedStream, reason: str) -> None:
        """Take a stream's place on the engine away; it is open in the record, and comes back.

        Raises:
            ClosedError: the engine has stopped.
        """
        self._thread.run(lambda _: unseat(served, self._thread, reason))

    def _save(self, served: ServedStream) -> None:
        try:
            self._saving.save(served)
        except (HermesError, OSError) as error:
            log.warning("stream %s could not be saved: %s", served.row.name, error)

    def rename(self, name: str, new_name: str) -> ServedStream:
        """Give an open stream another name; its number and folders stay."""
        check_stream_name(new_name)
        with self._changing:
            served = self.find(name)
            self._check_free(new_name)
            self._store.streams.change(served.row.id, name=new_name)
            served.row = replace(served.row, name=new_name)
            self._streams = {new_name if own == name else own: one for own, one in self._streams.items()}
            served.tell("stream_renamed", old_name=name, new_name=new_name)
            return served

    def _seat(self, served: ServedStream, make: MakeHandle | None) -> None:
        saved = self._thread.run(
            lambda engine: seat(engine, served, thread=self._thread, has_ended=self._has_ended, make=make)
        )
        self._streams = {**self._streams, served.row.name: served}
        if saved is not None:
            self._saving.record(served, saved)
