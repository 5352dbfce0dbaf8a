"""What a broker is told of a service, as topics with their payloads: Home Assistant finds it by itself.

All of it is retained and follows from how things are: whoever publishes compares it with what the broker was
told last. Events are no part of it; they are told once, as they happen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hermes_stream._version import __version__
from hermes_stream.service.events import Event
from hermes_stream.service.status import StreamStatus
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.service.watch_status import WatchStatus

Topics = dict[str, str | bytes]
ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
_GONE = ("failed", "closed", "reconnecting", "opening")
_MAX_STATE = 255  # of an entity of Home Assistant; longer ones are refused
_MAX_SNOOZE_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How topics are called.

    Attributes:
        prefix: of this service's topics; services that share a broker have one each.
        discovery: under which Home Assistant looks.
    """

    prefix: str
    discovery: str

    @property
    def availability(self) -> str:
        """Whether the service is there."""
        return f"{self.prefix}/availability"

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it is there."""
        return f"{self.discovery}/status"

    def stream(self, name: str) -> str:
        """Under which a stream's topics lie."""
        return f"{self.prefix}/streams/{name}"

    def watch(self, stream: str, number: int | str) -> str:
        """Under which a watch's topics lie."""
        return f"{self.stream(stream)}/watches/{number}"

    def unique(self, *parts: object) -> str:
        """Return an id of a thing, of letters, digits and underscores."""
        text = "-".join(map(str, (self.prefix, *parts)))
        return "".join(one if one.isalnum() else f"_{ord(one):x}_" for one in text)

    def discovery_topic(self, kind: str, unique: str) -> str:
        """Where Home Assistant reads what there is."""
        return f"{self.discovery}/{kind}/{unique}/config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """What happened to a stream last.

    Attributes:
        answer: payload of the newest answer; None before one.
        picture: of the newest event that shows one, a JPEG file.
    """

    answer: Mapping[str, Any] | None = None
    picture: bytes | None = None


def retained(
    naming: Naming,
    streams: Iterable[StreamStatus],
    watches: Sequence[WatchStatus],
    lately: Mapping[str, Lately],
    *,
    model: str,
) -> Topics:
    """Return all that a broker keeps of a service.

    Args:
        naming: of topics.
        streams: that are open.
        watches: of all of them.
        lately: what happened last, by stream.
        model: that watches.
    """
    topics: Topics = {naming.availability: ONLINE}
    for stream in streams:
        about = _About(naming=naming, stream=stream, model=model)
        topics |= _of_stream(about, lately.get(stream.name, Lately()))
        for watch in watches:
            if watch.stream == stream.name:
                topics |= _of_watch(about, watch)
    return topics


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    """One stream, which is one device."""

    naming: Naming
    stream: StreamStatus
    model: str

    @property
    def base(self) -> str:
        return self.naming.stream(self.stream.name)

    def entity(self, kind: str, *parts: object, name: str | None, **fields: Any) -> Topics:
        """Return what Home Assistant makes an entity of."""
        unique = self.naming.unique(self.stream.name, *parts)
        device = {
            "identifiers": [self.naming.unique(self.stream.name)],
            "name": self.stream.name,
            "manufacturer": "hermes-stream",
            "model": self.model,
            "sw_version": __version__,
        }
        entity = {
            "unique_id": unique,
            "object_id": unique,
            "name": name,
            "device": device,
            "origin": {"name": "hermes-stream", "sw_version": __version__},
            "availability": [{"topic": self.naming.availability}, {"topic": f"{self.base}/availability"}],
            "availability_mode": "all",
            **fields,
        }
        return {self.naming.discovery_topic(kind, unique): _json(entity)}


def _of_stream(about: _About, lately: Lately) -> Topics:
    base, stream = about.base, about.stream
    topics = about.entity(
        "event", "event", name="Event", state_topic=f"{base}/event", event_types=list(WATCH_KINDS)
    )
    topics |= about.entity("sensor", "state", name="State", state_topic=f"{base}/state", icon="mdi:cctv")
    topics |= about.entity(
        "sensor",
        "lag",
        name="Lag",
        state_topic=f"{base}/lag",
        unit_of_measurement="s",
        device_class="duration",
        state_class="measurement",
        entity_category="diagnostic",
    )
    topics |= about.entity(
        "sensor",
        "answer",
        name="Answer",
        state_topic=f"{base}/answer",
        json_attributes_topic=f"{base}/answer/attributes",
        icon="mdi:message-text",
    )
    topics |= about.entity(
        "image", "picture", name="Picture", image_topic=f"{base}/picture", content_type="image/jpeg"
    )
    topics |= {
        f"{base}/availability": OFFLINE if stream.state in _GONE else ONLINE,
        f"{base}/state": stream.state,
        f"{base}/lag": f"{stream.lag_seconds:.1f}",
    }
    if lately.answer is not None:
        topics[f"{base}/answer"] = _state(str(lately.answer.get("answer", "")))
        topics[f"{base}/answer/attributes"] = _json(dict(lately.answer))
    if lately.picture is not None:
        topics[f"{base}/picture"] = lately.picture
    return topics


def _of_watch(about: _About, watch: WatchStatus) -> Topics:
    settings, stream = watch.settings, about.stream.name
    base, name = about.naming.watch(stream, watch.id), settings.label
    places = {"state_topic": f"{base}/state", "json_attributes_topic": f"{base}/attributes"}
    if settings.kind == "alert":
        topics = about.entity("binary_sensor", watch.id, name=name, **places)
        value: str | None = ON if watch.value == "yes" else OFF
    elif settings.kind == "state":
        options = list(settings.options or ())
        topics = about.entity("sensor", watch.id, name=name, device_class="enum", options=options, **places)
        value = watch.value
    else:
        topics = about.entity("sensor", watch.id, name=name, **places)
        value = watch.value
    topics |= about.entity(
        "switch",
        watch.id,
        "on",
        name=f"{name} on",
        state_topic=f"{base}/on",
        command_topic=f"{base}/on/set",
        entity_category="config",
    )
    topics |= about.entity(
        "number",
        watch.id,
        "snooze",
        name=f"{name} snooze",
        state_topic=f"{base}/snooze",
        command_topic=f"{base}/snooze/set",
        unit_of_measurement="min",
        min=0,
        max=_MAX_SNOOZE_MINUTES,
        step=1,
        mode="box",
        entity_category="config",
    )
    newest = about.stream.newest_pts_seconds or 0.0
    left = max(0.0, (watch.snoozed_until_seconds or 0.0) - newest)
    topics |= {
        f"{base}/on": ON if settings.is_on else OFF,
        f"{base}/snooze": str(min(-int(-left // 60), _MAX_SNOOZE_MINUTES)),
        f"{base}/attributes": _json(
            {
                "question": settings.question,
                "kind": settings.kind,
                "severity": settings.severity,
                "since_seconds": watch.since_seconds,
                "failure": watch.failure,
            }
        ),
    }
    if value is not None:
        topics[f"{base}/state"] = _state(value)
    return topics


def event_payload(event: Event) -> str:
    """Return what an event entity is told."""
    told = {name: one for name, one in event.payload.items() if name != "evidence"}
    fields = {"event_type": event.kind, "id": event.id, "stream_seconds": event.pts_seconds, **told}
    return _json(fields)


def _state(text: str) -> str:
    return text if len(text) <= _MAX_STATE else f"{text[: _MAX_STATE - 3]}..."


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
