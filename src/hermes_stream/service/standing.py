"""The watches of one stream of a service; all but what it is asked for belongs to the engine's thread."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from hermes_stream.errors import HermesError, UnknownWatchError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.vocabulary import unknown_words, unknown_words_told
from hermes_stream.saved import Saved
from hermes_stream.service.events import NewEvent
from hermes_stream.service.pictures import StreamPictures
from hermes_stream.service.watch_events import Noticed
from hermes_stream.service.watch_rows import WatchRow
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.service.watch_status import WatchStatus, added
from hermes_stream.stream.evidence import evidence_of, read_attention
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.watches import Watch, WatchEvent, WatchStats, restore_watch, saved_watch

log = logging.getLogger(__name__)
_MAX_SCORES = 3600
_NUM_MOMENTS = 3
_TOLD_AGAIN_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class _Standing:
    """A watch of the record, and its place on the engine."""

    row: WatchRow
    settings: WatchSettings
    watch: Watch | None = None
    failure: str | None = None
    warnings: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None
    scores: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MAX_SCORES))
    seen_seconds: float | None = None
    num_failed: int = 0
    failure_told_at: float | None = None
    past: WatchStats | None = None  # of the same watch by other settings, and in other places

    @property
    def stats(self) -> WatchStats | None:
        """What it did since the service began."""
        if self.watch is None or self.past is None:
            return self.past if self.watch is None else self.watch.stats
        return added(self.past, self.watch.stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where watches are on the engine."""

    handle: StreamHandle
    epoch: int
    pictures: StreamPictures | None
    chunk_frames: int
    time_zone: str | None


class Standing:
    """Keeps the watches of a stream on the engine, and records what they notice.

    It lives on the engine beside its stream (``EngineThread.register``): after each step it takes the scores.

    Args:
        rows: of the watches, as they are recorded.
        tell: records an event.
        save: keeps how far watches are, by their numbers, without waiting; of an epoch.
    """

    def __init__(
        self,
        rows: tuple[WatchRow, ...],
        *,
        tell: Callable[[NewEvent], None],
        save: Callable[[Mapping[int, Mapping[str, Any]], int | None], None],
    ) -> None:
        self._tell, self._save = tell, save
        self._place: _Place | None = None
        self._standing: dict[int, _Standing] = {}
        for row in rows:
            settings = WatchSettings.model_validate(row.settings)
            self._standing[row.id] = _Standing(row=row, settings=settings, state=row.state)

    def __len__(self) -> int:
        return len(self._standing)

    def attach(
        self,
        handle: StreamHandle,
        *,
        epoch: int,
        pictures: StreamPictures | None,
        chunk_frames: int,
        time_zone: str | None,
    ) -> None:
        """Ask the watches of a stream that has its place; one that cannot be asked is told of.

        Args:
            handle: the place.
            epoch: of the stream.
            pictures: of its moments; None where none are kept.
            chunk_frames: frames that are folded in together while a watch is asked.
            time_zone: of schedules that name none; None is this machine's.
        """
        self._place = _Place(
            handle=handle, epoch=epoch, pictures=pictures, chunk_frames=chunk_frames, time_zone=time_zone
        )
        for standing in self._standing.values():
            try:
                self._put(standing)
            except (HermesError, ValueError) as error:
                self._tell_failure(standing, str(error))
        self._pace()

    def _pace(self) -> None:
        """Let chunks be shorter while a watch is asked, which is as old as its chunk.

        Where chunks end is journalled with each, so that buffers, snapshots and replay know of no pace.
        """
        if self._place is not None:
            stream, is_asked = self._place.handle.stream, any(one.watch for one in self._standing.values())
            most = stream.options.chunk_frames
            stream.chunk_frames = min(most, self._place.chunk_frames) if is_asked else most

    def detach(self) -> None:
        """Ask them no more, and keep how far they are; safe to repeat."""
        self.keep()
        self._place = None
        for standing in self._standing.values():
            self._take(standing)

    def fill(self) -> bool:
        """Move nothing: frames are the stream's."""
        return False

    def lose(self, reason: str) -> None:  # noqa: ARG002 - nobody waits
        """Keep how far they are; the engine has failed."""
        self.detach()

    def publish(self) -> None:
        """Take the scores of the looks since the last step, and tell what failed."""
        for standing in self._standing.values():
            watch = standing.watch
            if watch is None or watch.last_seconds == standing.seen_seconds:
                continue
            standing.seen_seconds = watch.last_seconds
            stats = watch.stats
            if stats.num_failed > standing.num_failed:
                standing.num_failed = stats.num_failed
                self._tell_failure(standing, "it could not be asked; the log says why")
            elif watch.score is not None and watch.last_seconds is not None:
                standing.scores.append((watch.last_seconds, watch.score))

    def put(self, row: WatchRow, settings: WatchSettings) -> None:
        """Ask a watch from now on, or by other settings.

        Raises:
            HermesError: it cannot be asked of this model, or does not fit; nothing has changed.
            ValueError: values do not go together.
        """
        old = self._standing.get(row.id)
        new = _Standing(row=row, settings=settings)
        if old is not None:
            self._take(old)
            new.scores, new.state, new.past = old.scores, _carried(old, settings), old.past
        try:
            self._put(new)
        except BaseException:
            if old is not None:
                self._put(old)
            raise
        if old is not None and not (new.state or {}).get("is_raised"):
            self._end_incident(old, "the watch was changed")
        self._standing = {**self._standing, row.id: new}
        self._pace()

    def _put(self, standing: _Standing) -> None:
        if self._place is None or not standing.settings.is_on:
            return
        rules = standing.settings.rules(self._place.time_zone)
        chosen = {name: getattr(rules, name) for name in rules.__slots__}
        handle = self._place.handle
        watch = handle.watch(**chosen, on_event=lambda event: self._note(standing, event))
        standing.watch, standing.failure, standing.num_failed = watch, None, 0
        standing.warnings = _warnings(handle.stream.model, standing.settings)
        for warning in standing.warnings:
            log.warning("watch %r: %s", standing.row.name, warning)
        state = standing.state or {}
        if "question" in state:
            try:
                restore_watch(watch, Saved(values=state))
            except HermesError as error:
                log.warning("watch %r begins anew: %s", standing.row.name, error)
        # where another question is asked, only how many incidents there were is known: ids are given once
        watch.num_incidents = max(watch.num_incidents, int(state.get("num_incidents") or 0))

    @staticmethod
    def _take(standing: _Standing) -> None:
        if standing.watch is not None:
            standing.state, standing.past = dict(saved_watch(standing.watch).values), standing.stats
            standing.watch.close()
            standing.watch = None

    def remove(self, watch_id: int) -> None:
        """Ask a watch no more; its open incident is over."""
        standing = self._find(watch_id)
        self._standing = {number: one for number, one in self._standing.items() if number != watch_id}
        self._take(standing)
        self._pace()
        self._end_incident(standing, "the watch was deleted")

    def _end_incident(self, standing: _Standing, reason: str) -> None:
        """Tell that an alert is over whose watch is asked no more."""
        state = standing.state or {}
        if not (state.get("is_raised") and state.get("incident_was_sent")):
            return
        seconds = state.get("last_seconds") or 0.0
        self._note(
            standing,
            WatchEvent(
                kind="cleared",
                watch=standing.row.name,
                question=standing.settings.question,
                stream_seconds=seconds,
                incident=int(state.get("num_incidents") or 0),
                value="",
                value_before="yes",
                score=state.get("score") or 0.0,
                since_seconds=seconds,
            ),
            reason=reason,
        )

    def snooze(self, watch_id: int, seconds: float) -> None:
        """Let a watch be silent for so many seconds of the stream; 0 lets it speak again."""
        watch = self._find(watch_id).watch
        if watch is None:
            raise UnknownWatchError(f"watch {watch_id} is not asked now, so that it cannot be snoozed")
        newest = self._place.handle.stream.intake.newest_seconds if self._place else None
        watch.snooze(None if seconds == 0 else (newest or watch.last_seconds or 0.0) + seconds)

    def _find(self, watch_id: int) -> _Standing:
        if watch_id not in self._standing:
            raise UnknownWatchError(f"there is no watch {watch_id}")
        return self._standing[watch_id]

    def _note(self, standing: _Standing, event: WatchEvent, *, reason: str | None = None) -> None:
        """Record what a watch noticed."""
        watch, place = standing.watch, self._place
        handle = None if place is None else place.handle
        pictures = None if place is None else place.pictures
        noticed = Noticed(
            event=event,
            row=standing.row,
            settings=standing.settings,
            state=(standing.state or {}) if watch is None else saved_watch(watch).values,
            epoch=None if place is None else place.epoch,
            picture=None if pictures is None else pictures.find(event.stream_seconds),
            evidence=_evidence(handle, watch) if event.kind == "raised" else (),
            reason=reason,
        )
        self._tell(noticed.as_event())

    def _tell_failure(self, standing: _Standing, reason: str) -> None:
        """Record that a watch fails, at most once a minute."""
        standing.failure, now = reason, time.monotonic()
        told_at, place = standing.failure_told_at, self._place
        if told_at is not None and now - told_at < _TOLD_AGAIN_SECONDS:
            return
        standing.failure_told_at = now
        row = standing.row
        self._tell(
            NewEvent(
                kind="watch_failed",
                stream_id=row.stream_id,
                epoch=None if place is None else place.epoch,
                pts_seconds=standing.seen_seconds,
                wall_seconds=time.time(),
                payload={
                    "watch": row.id,
                    "name": row.name,
                    "question": standing.settings.question,
                    "reason": reason,
                },
            )
        )

    def keep(self) -> None:
        """Record how far those watches are that had a look since the last time."""
        changed = {}
        for number, standing in self._standing.items():
            if standing.watch is not None:
                state = dict(saved_watch(standing.watch).values)
                if state != standing.state:
                    standing.state = changed[number] = state
        self._save(changed, None if self._place is None else self._place.epoch)

    @property
    def rows(self) -> tuple[WatchRow, ...]:
        """Rows of all, oldest first; any thread may ask."""
        return tuple(one.row for one in self._standing.values())

    def settings(self, watch_id: int) -> WatchSettings:
        """Return what a watch was made with; any thread may ask."""
        return self._find(watch_id).settings

    def scores(self, watch_id: int) -> tuple[tuple[float, float], ...]:
        """Return (stream seconds, score) of the newest looks."""
        return tuple(self._find(watch_id).scores)

    def status(self, stream: str) -> tuple[WatchStatus, ...]:
        """Return how all are.

        Args:
            stream: name of the stream.
        """
        return tuple(_status(stream, one) for one in self._standing.values())


_ASKED = (
    *("question", "kind", "options", "answer", "also", "given", "onset", "context", "region"),
    "newest_seconds",
    "calibrate",
)


def _carried(old: _Standing, settings: WatchSettings) -> Mapping[str, Any] | None:
    """Return what a watch keeps under other settings: all, or how many incidents it had."""
    if old.state is None:
        return None
    if settings.is_on and all(getattr(old.settings, name) == getattr(settings, name) for name in _ASKED):
        return old.state
    return {"num_incidents": old.state.get("num_incidents", 0)}


def _status(stream: str, one: _Standing) -> WatchStatus:
    watch, state = one.watch, one.state or {}
    if watch is None:
        value, score, snoozed = state.get("value"), state.get("score"), state.get("snoozed_until_seconds")
        since = state.get("raised_since_seconds") if state.get("is_raised") else None
    else:
        value, score, snoozed = watch.value, watch.score, watch.sending.snoozed_until_seconds
        since = watch.alert.since_seconds if watch.alert.is_raised else watch.choice.since_seconds
    failure = one.failure if one.settings.is_on else "it is switched off"
    return WatchStatus(
        id=one.row.id,
        stream=stream,
        settings=one.settings,
        value=value,
        score=score,
        since_seconds=since,
        snoozed_until_seconds=snoozed,
        failure=failure,
        stats=one.stats,
        warnings=one.warnings,
    )


def _warnings(model: VideoModel, settings: WatchSettings) -> tuple[str, ...]:
    """Return why a model's answers to a watch may mean nothing."""
    words = [word for text in settings.texts for word in unknown_words(model.chat.tokenizer, text)]
    return (unknown_words_told(tuple(dict.fromkeys(words)), model.card.name),) if words else ()


def _evidence(handle: StreamHandle | None, watch: Watch | None) -> tuple[float, ...]:
    """Return the moments on which a scored answer rests; none while the stream has other work in hand."""
    if watch is None or handle is None or watch.question is None or not handle.is_settled:
        return ()
    stream = handle.stream
    question = torch.cat([stream.model.video_end, stream.model.embed(watch.question.token_ids)])
    try:
        state = stream.executor.run(read_attention(stream.context, stream.model.layout, [(question, 1)]))
        moments = evidence_of(state).moments(_NUM_MOMENTS)
    except (HermesError, ValueError, torch.OutOfMemoryError) as error:
        log.info("no evidence for an alert: %s", error)
        return ()
    since = -math.inf
    if watch.rules.newest_seconds is not None:
        since = (stream.folded_until_seconds or 0.0) - watch.rules.newest_seconds
    return tuple(moment.seconds for moment in moments if moment.seconds > since)
