"""Takes standing questions: they are made, changed, silenced, tried, and looked at; from any thread."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import wait
from pathlib import Path
from threading import Lock
from typing import Any

from hermes_stream.errors import (
    CapacityError,
    ClosedError,
    OverloadedError,
    UnknownWatchError,
    WatchExistsError,
)
from hermes_stream.models.base import VideoModel
from hermes_stream.service.engine_thread import EngineThread
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.stream_registry import StreamRegistry
from hermes_stream.service.watch_rows import WatchRow, WatchRows
from hermes_stream.service.watch_settings import WatchSettings, read_watch
from hermes_stream.service.watch_status import WatchStatus, WatchTrial
from hermes_stream.service.watch_trial import TrialRun, kept_frames
from hermes_stream.stream.engine import Engine

_TRIAL_SECONDS, _LOOK_SECONDS = 120.0, 0.5


class WatchDesk:
    """The watches of all streams. Threads may share it.

    Args:
        model: is asked.
        registry: the streams.
        thread: of the engine.
        rows: of watches.
        settings: of the service.
        pictures: folder of all pictures.
    """

    def __init__(
        self,
        model: VideoModel,
        registry: StreamRegistry,
        *,
        thread: EngineThread,
        rows: WatchRows,
        settings: ServiceSettings,
        pictures: Path,
    ) -> None:
        self._model, self._registry, self._thread, self._rows = model, registry, thread, rows
        self._settings, self._pictures = settings, pictures
        self._changing, self._trying = Lock(), Lock()

    def add(self, stream: str, question: str, **options: Any) -> WatchStatus:
        """Ask a question again and again about an open stream, also after a restart.

        The same again is the same watch.

        Args:
            stream: its name.
            question: what is asked.
            **options: fields of ``WatchSettings``: name, kind, options, raise_at, hold_seconds, ...

        Raises:
            UnknownStreamError: no such stream is open.
            WatchExistsError: the stream has another watch of that name.
            CapacityError: there are as many as there may be, or the question does not fit.
            ModelError: the model's vocabulary does not have the answers.
            ValueError: a value is not accepted.
        """
        return self.put(stream, read_watch({"question": question, **options}), replaces=False)

    def put(self, stream: str, settings: WatchSettings, *, replaces: bool = True) -> WatchStatus:
        """Make a watch, or let the one of that name go by these settings; see ``add``.

        Args:
            stream: its name.
            settings: of the watch.
            replaces: whether another one of that name is changed, or refused.
        """
        served, values = self._watched(stream), settings.model_dump(mode="json")
        with self._changing:
            known = next((row for row in served.standing.rows if row.name == settings.label), None)
            if known is not None and served.standing.settings(known.id) == settings:
                return self.show(stream, known.id)
            if known is not None and not replaces:
                raise WatchExistsError(
                    f"stream {stream!r} has another watch {settings.label!r}; change that one, or give this "
                    "one another name"
                )
            if known is not None:
                return self._change(served, known, settings)
            self._check_room()
            row = self._rows.add(served.row.id, settings.label, values)
            try:
                self._thread.run(lambda _: served.standing.put(row, settings))
            except BaseException:
                self._rows.remove(row.id)
                raise
        return self.show(stream, row.id)

    def _check_room(self) -> None:
        most = self._settings.max_watches
        if self._rows.count >= most:
            raise CapacityError(f"there are {most} watches, which is max_watches; delete one, or raise it")

    def _watched(self, stream: str) -> ServedStream:
        served = self._registry.find(stream)
        if served.row.is_temporary:
            raise ValueError(f"stream {stream!r} is in no record, and has no watches; open a lasting one")
        return served

    def change(self, stream: str, watch: int | str, changes: Mapping[str, Any]) -> WatchStatus:
        """Change a watch: its thresholds, its name, whether it is on, also what it asks.

        Args:
            stream: its name.
            watch: number or name.
            changes: fields of ``WatchSettings``.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch.
            WatchExistsError: it has another watch of the new name.
            ValueError: a value is not accepted.
        """
        served = self._watched(stream)
        with self._changing:
            row = _row_of(served, watch)
            settings = _changed(served, row, changes)
            taken = {one.name for one in served.standing.rows if one.id != row.id}
            if settings.label in taken:
                raise WatchExistsError(f"stream {stream!r} has another watch {settings.label!r}")
            return self._change(served, row, settings)

    def _change(self, served: ServedStream, row: WatchRow, settings: WatchSettings) -> WatchStatus:
        fields: dict[str, Any] = {"name": settings.label, "settings": settings.model_dump(mode="json")}
        new = WatchRow(
            id=row.id,
            stream_id=row.stream_id,
            state=row.state,
            created_wall_seconds=row.created_wall_seconds,
            **fields,
        )
        self._thread.run(lambda _: served.standing.put(new, settings))
        self._rows.change(row.id, **fields)
        return self.show(served.row.name, row.id)

    def remove(self, stream: str, watch: int | str) -> None:
        """Delete a watch; what it told stays, and its open incident is over.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch.
        """
        served = self._watched(stream)
        with self._changing:
            row = _row_of(served, watch)
            self._thread.run(lambda _: served.standing.remove(row.id))
            self._rows.remove(row.id)

    def snooze(self, stream: str, watch: int | str, seconds: float) -> WatchStatus:
        """Let a watch be silent for so many seconds of its stream.

        Args:
            stream: its name.
            watch: number or name.
            seconds: 0 lets it speak again.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch, or the watch is switched off.
            ValueError: it is no number of seconds.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be 0 or more, got {seconds}")
        served = self._watched(stream)
        row = _row_of(served, watch)

        def snooze(_: Engine) -> None:
            served.standing.snooze(row.id, seconds)
            served.standing.keep()

        self._thread.run(snooze)
        return self.show(stream, row.id)

    def of_stream(self, stream: str) -> tuple[WatchStatus, ...]:
        """Return how a stream's watches are, oldest first.

        Raises:
            UnknownStreamError: no such stream is open.
        """
        served = self._registry.find(stream)
        return self._thread.run(lambda _: served.standing.status(stream))

    def all(self) -> tuple[WatchStatus, ...]:
        """Return how the watches of all open streams are, in one visit to the engine."""
        streams = self._registry.all()
        return self._thread.run(
            lambda _: tuple(one for served in streams for one in served.standing.status(served.row.name))
        )

    def show(self, stream: str, watch: int | str) -> WatchStatus:
        """Return how a watch is.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch.
        """
        served = self._registry.find(stream)
        row = _row_of(served, watch)
        found = self._thread.run(lambda _: served.standing.status(served.row.name))
        return next(one for one in found if one.id == row.id)

    def scores(
        self, stream: str, watch: int | str, *, since: float = -math.inf, until: float = math.inf
    ) -> tuple[tuple[float, float], ...]:
        """Return (stream seconds, score) of a watch's newest looks; an hour of them at one a second.

        Args:
            stream: its name.
            watch: number or name.
            since: in seconds of the stream.
            until: likewise.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch.
        """
        served = self._registry.find(stream)
        row = _row_of(served, watch)
        found = self._thread.run(lambda _: served.standing.scores(row.id))
        return tuple(one for one in found if since <= one[0] <= until)

    def test(
        self, stream: str, settings: WatchSettings, *, since: float = -math.inf, until: float = math.inf
    ) -> WatchTrial:
        """Return when a watch would have spoken, over what is kept of a stream.

        It is asked in a memory of its own, beside the streams that run; nothing of them changes.

        Args:
            stream: its name.
            settings: of the watch.
            since: in seconds of the stream.
            until: likewise.

        Raises:
            UnknownStreamError: no such stream is open.
            CapacityError: there is no room for another memory.
            OverloadedError: another trial goes on, or this one takes too long.
            ValueError: values do not go together.
        """
        served = self._watched(stream)
        rules = settings.rules(served.choices.time_zone)
        if not self._trying.acquire(blocking=False):
            raise OverloadedError("another trial goes on; try again", retry_after_seconds=5.0)
        try:
            frames, is_cut = kept_frames(served, self._pictures, since, until)
            frames = [self._model.shrink(frame) for frame in frames]

            def begin(engine: Engine) -> TrialRun:
                run = TrialRun(
                    engine,
                    served.choices,
                    rules,
                    frames,
                    zero_wall_seconds=served.row.zero_wall_seconds or 0.0,
                    is_cut=is_cut,
                    leave=self._thread.unregister,
                )
                self._thread.register(run)
                return run

            run = self._thread.run(begin)
            return self._wait(run)
        finally:
            self._trying.release()

    def changed(self, stream: str, watch: int | str, changes: Mapping[str, Any]) -> WatchSettings:
        """Return a watch's settings as ``change`` would have them, to be tried first; nothing is changed.

        Args:
            stream: its name.
            watch: number or name.
            changes: fields of ``WatchSettings``.

        Raises:
            UnknownStreamError: no such stream is open.
            UnknownWatchError: it has no such watch.
            ValueError: a value is not accepted.
        """
        served = self._watched(stream)
        return _changed(served, _row_of(served, watch), changes)

    def _wait(self, run: TrialRun) -> WatchTrial:
        deadline = time.monotonic() + _TRIAL_SECONDS
        while time.monotonic() < deadline:
            done, _ = wait([run.outcome], timeout=_LOOK_SECONDS)
            if done:
                return run.outcome.result()
            if not self._thread.is_alive:
                raise ClosedError("the service is closed, and the trial with it")
        self._thread.run(lambda _: run.lose("the trial took too long"))
        raise OverloadedError(
            f"the trial took more than {_TRIAL_SECONDS:g} s; choose a shorter part of the stream",
            retry_after_seconds=60.0,
        )


def _changed(served: ServedStream, row: WatchRow, changes: Mapping[str, Any]) -> WatchSettings:
    return read_watch({**served.standing.settings(row.id).model_dump(exclude_unset=True), **changes})


def _row_of(served: ServedStream, watch: int | str) -> WatchRow:
    """Return a watch by its number, also as a text, or its name."""
    number = int(watch) if isinstance(watch, int) or watch.isdecimal() else None
    for row in served.standing.rows:
        if row.id == number or row.name == watch:
            return row
    known = ", ".join(f"{row.id} ({row.name})" for row in served.standing.rows) or "none"
    raise UnknownWatchError(f"stream {served.row.name!r} has no watch {watch!r}; its watches: {known}")
