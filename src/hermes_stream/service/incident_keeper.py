"""Updates incidents after they began: pictures from before and after, and what is seen, in words."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from threading import Event as Flag
from threading import Thread

from sqlalchemy import Connection

from hermes_stream.errors import HermesError, UnknownIncidentError
from hermes_stream.service import incidents
from hermes_stream.service.events import NewEvent
from hermes_stream.service.incidents import Incident, IncidentPicture
from hermes_stream.service.question_desk import QuestionDesk
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.store import Store
from hermes_stream.service.stream_registry import StreamRegistry
from hermes_stream.service.watch_settings import WatchSettings

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_MAX_PICTURES = 12
_PATIENCE_SECONDS = 10.0
_OLD_SECONDS = 3600.0
_SUMMARY_TOKENS = 64


class IncidentKeeper:
    """Follows alerts in a thread of its own; what was not updated when the service ended is updated later.

    Args:
        registry: the streams.
        store: the record.
        desk: takes the questions for summaries.
    """

    def __init__(self, registry: StreamRegistry, store: Store, desk: QuestionDesk) -> None:
        self._registry, self._store, self._desk = registry, store, desk
        self._stopped = Flag()
        self._after = store.writer.newest_event_id
        old = time.time() - _OLD_SECONDS
        known = store.incidents.read(since=old, limit=1000)
        self._waiting = {one.id: one.started_wall_seconds for one in known if one.num_updates == 0}
        self._thread = Thread(target=self._run, name="hermes-incidents", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the incident in hand; safe to repeat."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except HermesError as error:
                log.warning("incidents are updated later: %s", error)
                self._stopped.wait(_PATIENCE_SECONDS)

    def _follow(self) -> None:
        events = self._store.events.follow(
            self._after, kinds=("alert_raised",), stop=self._stopped, heartbeat_seconds=_LOOK_SECONDS
        )
        for event in events:
            if event is not None:
                self._after = event.id
                self._waiting[event.payload["incident"]] = event.wall_seconds
            for incident_id in tuple(self._waiting):
                try:
                    self._update_if_due(incident_id)
                except HermesError:
                    raise
                except Exception:  # one that cannot be updated holds up no other
                    log.exception("incident %s is not updated", incident_id)
                    self._waiting.pop(incident_id, None)

    def _update_if_due(self, incident_id: str) -> None:
        try:
            incident = self._store.incidents.find(incident_id)
            served = self._registry.find(incident.stream)
        except UnknownIncidentError:
            del self._waiting[incident_id]
            return
        except HermesError:  # its stream is closed for now
            if time.time() - self._waiting[incident_id] > _OLD_SECONDS:
                del self._waiting[incident_id]
            return
        settings = _settings_of(served, incident)
        if not self._is_due(served, incident, settings):
            return
        del self._waiting[incident_id]
        try:
            self._update(served, incident, settings)
        except (HermesError, ValueError) as error:
            log.warning("incident %s is not updated: %s", incident_id, error)

    def _is_due(self, served: ServedStream, incident: Incident, settings: WatchSettings) -> bool:
        newest, after = served.ring.counts.newest_seconds, settings.post_seconds
        if newest is not None and newest >= incident.started_seconds + settings.hold_seconds + after:
            return True
        return time.time() - self._waiting[incident.id] >= after + _PATIENCE_SECONDS

    def _update(self, served: ServedStream, incident: Incident, settings: WatchSettings) -> None:
        """Add pictures and words, and tell it, in one commit."""
        summary = self._summary(served, settings)  # takes longest, and pictures may be forgotten meanwhile
        begin = max(incident.started_seconds - settings.pre_seconds, 0.0)
        end = incident.started_seconds + settings.hold_seconds + settings.post_seconds
        found = _pictures(served, begin, end)
        shown = {one.stream_seconds: one.picture for one in incident.pictures} | _thinned(found)
        pictures = [
            IncidentPicture(stream_seconds=seconds, picture=path) for seconds, path in sorted(shown.items())
        ]
        # behind the summary, which takes its time: the alert may have ended, and then its end was told
        held = "yes" if self._store.incidents.find(incident.id).status == "open" else "no"
        fields = {
            "pictures": [asdict(one) for one in pictures],
            "summary": summary,
            "num_updates": incident.num_updates + 1,
            "epoch": served.row.epoch,
        }

        def along(connection: Connection) -> None:
            incidents.change(connection, incident.id, fields)

        self._store.tell(
            NewEvent(
                kind="incident_updated",
                stream_id=served.row.id,
                epoch=served.row.epoch,
                pts_seconds=served.ring.counts.newest_seconds,
                wall_seconds=time.time(),
                payload={
                    "watch": incident.watch,
                    "name": incident.name,
                    "question": incident.question,
                    "incident": incident.id,
                    "severity": incident.severity,
                    "value": held,
                    "value_before": held,
                    "score": incident.score,
                    "summary": summary,
                    "evidence": list(incident.evidence),
                    "picture_seconds": [one.stream_seconds for one in pictures],
                },
                picture=None if not incident.pictures else incident.pictures[0].picture,
                along=along,
            )
        )

    def _summary(self, served: ServedStream, settings: WatchSettings) -> str | None:
        """Return what the model says of it; None where nobody wants that, or it cannot be had now."""
        if settings.summary_question is None:
            return None
        try:
            live = self._desk.ask(
                served,
                settings.summary_question,
                None,
                num_moments=0,
                remember=False,
                sampling={"max_new_tokens": _SUMMARY_TOKENS},
            )
            return live.text.strip() or None
        except (HermesError, ValueError) as error:
            log.info("an incident goes without a summary: %s", error)
            return None


def _settings_of(served: ServedStream, incident: Incident) -> WatchSettings:
    try:
        return served.standing.settings(incident.watch)
    except HermesError:  # the watch is gone
        return WatchSettings(question=incident.question)


def _pictures(served: ServedStream, begin: float, end: float) -> dict[float, str]:
    """Return the pictures of a time; those that went with the memory's moments come from the journal.

    Of as many parts of the time as there are pictures at most, each without one gets that of its first frame:
    so few frames are unpacked, and none where all is there.
    """
    pictures = served.pictures
    if pictures is None:
        return {}
    found = pictures.between(begin, end)
    fps = served.choices.fps
    count = _MAX_PICTURES if fps is None else min(_MAX_PICTURES, int((end - begin) * fps))
    if served.disk is None or count < 1:
        return found

    def part(seconds: float) -> int:
        return min(int((seconds - begin) / (end - begin) * count), count - 1)

    missing = set(range(count)) - set(map(part, found))
    if not missing:
        return found
    zero = served.row.zero_wall_seconds or 0.0
    try:
        for frame in served.disk.frames(begin, end):
            if part(frame.pts_seconds) in missing:
                missing.discard(part(frame.pts_seconds))
                pictures.put(frame, zero + frame.pts_seconds)
            if not missing:
                break
    except (HermesError, OSError) as error:
        log.info("the journal of stream %s is read in part: %s", served.row.name, error)
    return pictures.between(begin, end)


def _thinned(found: dict[float, str]) -> dict[float, str]:
    """Return some of many pictures, evenly spread, the first and the last among them."""
    items = list(found.items())
    if len(items) <= _MAX_PICTURES:
        return found
    steps: Sequence[int] = [round(k * (len(items) - 1) / (_MAX_PICTURES - 1)) for k in range(_MAX_PICTURES)]
    return dict(items[k] for k in steps)
