"""The calls that a server takes: how each is written, and how its response is read.

Nothing here speaks with anyone: ``Client`` and ``AsyncClient`` carry calls, each in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from hermes_stream.client.values import (
    AnswerValue,
    EventValue,
    IncidentValue,
    ReceiptValue,
    SnapshotValue,
    StreamValue,
    TrialValue,
    WatchValue,
)

T = TypeVar("T")
_MICROSECONDS = 1_000_000
# Webhooks tell whole addresses, by the server's public one, which need not be the one that is spoken with.
_PICTURE = re.compile(
    r"(?:https?://[^?#]+)?"
    r"(/v1/pictures/[0-9]{4,}-[A-Za-z0-9][A-Za-z0-9._-]*/[0-9]{4}-[0-9]{2}-[0-9]{2}/-?[0-9]+\.[0-9]{6}\.jpg)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, and what its response means.

    Attributes:
        method: of HTTP.
        path: on the server.
        read: makes the result of the response's JSON document, None where it has none.
        json: body, as a JSON value.
        content: body, as bytes.
        params: of the query; those that are None are left out.
        headers: further headers.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    json: Any = None
    content: bytes | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return what ``httpx`` sends, as arguments of its ``request``."""
        given = {"json": self.json, "content": self.content}
        return {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.params.items() if value is not None},
            "headers": dict(self.headers),
            **{name: value for name, value in given.items() if value is not None},
        }


def stream_path(name: str, *more: str) -> str:
    """Return the path of a stream, or of something of it.

    Raises:
        ValueError: one of them would lead elsewhere.
    """
    return _path("/v1/streams", name, *more)


def picture_path(address: str) -> str:
    """Return the path of a picture on the server that is spoken with, whatever host its address names.

    Raises:
        ValueError: it is no address of a picture.
    """
    found = _PICTURE.fullmatch(unquote(str(address)))
    if found is None:
        raise ValueError(
            f"{str(address)[:200]!r} is no address of a picture of this service; give a picture_url as "
            "events, answers and memories tell it, such as /v1/pictures/STREAM/DAY/SECONDS.jpg"
        )
    return found[1]


def streams(*, closed: bool) -> Call[tuple[StreamValue, ...]]:
    """List streams."""
    return Call(
        method="GET", path="/v1/streams", params={"closed": closed or None}, read=_each(StreamValue.of)
    )


def stream(name: str) -> Call[StreamValue]:
    """Show a stream."""
    return Call(method="GET", path=stream_path(name), read=StreamValue.of)


def open_stream(name: str, source: str | None, options: Mapping[str, Any]) -> Call[StreamValue]:
    """Open a stream."""
    given = {"name": name, "source": source, **options}
    body = {key: value for key, value in given.items() if value is not None}
    return Call(method="POST", path="/v1/streams", json=body, read=StreamValue.of)


def change_stream(name: str, changes: Mapping[str, Any]) -> Call[StreamValue]:
    """Rename a stream, or give it another policy."""
    body = {key: value for key, value in changes.items() if value is not None}
    return Call(method="PATCH", path=stream_path(name), json=body, read=StreamValue.of)


def close_stream(name: str, *, delete: bool) -> Call[None]:
    """Close a stream."""
    return Call(method="DELETE", path=stream_path(name), params={"delete": delete or None}, read=_nothing)


def ask(stream: str, question: str, options: Mapping[str, Any], *, streamed: bool) -> Call[AnswerValue]:
    """Ask a question; streamed, the answer comes in pieces."""
    given = {"question": question, **options, "stream": streamed}
    body = {key: value for key, value in given.items() if value is not None}
    return Call(method="POST", path=stream_path(stream, "ask"), json=body, read=AnswerValue.of)


def push(stream: str, jpeg: bytes, pts_seconds: float | None) -> Call[ReceiptValue]:
    """Push a picture."""
    pts_us = None if pts_seconds is None else round(pts_seconds * _MICROSECONDS)
    return Call(
        method="POST",
        path=stream_path(stream, "frames"),
        content=jpeg,
        params={"pts_us": pts_us},
        headers={"Content-Type": "image/png" if jpeg.startswith(b"\x89PNG") else "image/jpeg"},
        read=ReceiptValue.of,
    )


def events(wanted: Mapping[str, Any]) -> Call[tuple[EventValue, ...]]:
    """List events."""
    return Call(method="GET", path="/v1/events", params=wanted, read=_each(EventValue.of))


def snapshots(name: str | None) -> Call[tuple[SnapshotValue, ...]]:
    """List snapshots, of a stream or of all."""
    path = "/v1/snapshots" if name is None else stream_path(name, "snapshots")
    return Call(method="GET", path=path, read=_each(SnapshotValue.of))


def save_snapshot(name: str) -> Call[SnapshotValue]:
    """Save a memory."""
    return Call(method="POST", path=stream_path(name, "snapshots"), read=SnapshotValue.of)


def delete_snapshot(name: str, number: int) -> Call[None]:
    """Delete a snapshot."""
    return Call(method="DELETE", path=stream_path(name, "snapshots", str(number)), read=_nothing)


def restore(name: str, number: int) -> Call[StreamValue]:
    """Give a stream the memory that it had."""
    return Call(
        method="POST", path=stream_path(name, "snapshots", str(number), "restore"), read=StreamValue.of
    )


def fork(name: str, new_name: str, number: int | None) -> Call[StreamValue]:
    """Open a second stream with the memory of the first."""
    body = {"name": new_name} if number is None else {"name": new_name, "snapshot": number}
    return Call(method="POST", path=stream_path(name, "fork"), json=body, read=StreamValue.of)


def watches(stream: str) -> Call[tuple[WatchValue, ...]]:
    """List the watches of a stream."""
    return Call(method="GET", path=stream_path(stream, "watches"), read=_each(WatchValue.of))


def add_watch(stream: str, question: str, options: Mapping[str, Any]) -> Call[WatchValue]:
    """Ask a question again and again."""
    body = {"question": question, **options}
    return Call(method="POST", path=stream_path(stream, "watches"), json=body, read=WatchValue.of)


def change_watch(stream: str, watch: int | str, changes: Mapping[str, Any]) -> Call[WatchValue]:
    """Change a watch."""
    path = stream_path(stream, "watches", str(watch))
    return Call(method="PATCH", path=path, json=dict(changes), read=WatchValue.of)


def delete_watch(stream: str, watch: int | str) -> Call[None]:
    """Delete a watch."""
    return Call(method="DELETE", path=stream_path(stream, "watches", str(watch)), read=_nothing)


def snooze_watch(stream: str, watch: int | str, seconds: float) -> Call[WatchValue]:
    """Let a watch be silent for a while."""
    path = stream_path(stream, "watches", str(watch), "snooze")
    return Call(method="POST", path=path, json={"seconds": seconds}, read=WatchValue.of)


def test_watch(stream: str, question: str, options: Mapping[str, Any]) -> Call[TrialValue]:
    """Try a watch on the past."""
    body = {"question": question, **options}
    return Call(method="POST", path=stream_path(stream, "watches", "test"), json=body, read=TrialValue.of)


def incidents(wanted: Mapping[str, Any]) -> Call[tuple[IncidentValue, ...]]:
    """List incidents."""
    params = {name.rstrip("_"): value for name, value in wanted.items()}
    return Call(method="GET", path="/v1/incidents", params=params, read=_each(IncidentValue.of))


def review(incident: str, *, reviewed: bool) -> Call[IncidentValue]:
    """Note that an incident was reviewed, or not."""
    path = _path("/v1/incidents", incident)
    return Call(method="PATCH", path=path, json={"reviewed": reviewed}, read=IncidentValue.of)


def webhooks() -> Call[tuple[dict[str, Any], ...]]:
    """List webhooks."""
    return Call(method="GET", path="/v1/webhooks", read=_each(dict))


def add_webhook(url: str, options: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Tell a receiver what happens."""
    return Call(method="POST", path="/v1/webhooks", json={"url": url, **options}, read=dict)


def change_webhook(number: int, changes: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Change a webhook."""
    return Call(method="PATCH", path=_path("/v1/webhooks", number), json=dict(changes), read=dict)


def delete_webhook(number: int) -> Call[None]:
    """Tell a receiver no more."""
    return Call(method="DELETE", path=_path("/v1/webhooks", number), read=_nothing)


def document(path: str, params: Mapping[str, Any] | None = None) -> Call[dict[str, Any]]:
    """Show what else the server tells as one JSON document."""
    return Call(method="GET", path=path, params=params or {}, read=dict)


def search(words: str, wanted: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Find what was recorded."""
    renamed = {"since": "from", "until": "to"}
    params = {"q": words, **{renamed.get(name, name): value for name, value in wanted.items()}}
    return document("/v1/search", params)


def report(
    streams: Sequence[str] | None, since: float | None, until: float | None, **chapters: float | int | None
) -> Call[dict[str, Any]]:
    """Tell what happened."""
    given = {"streams": None if streams is None else list(streams), "from": since, "to": until, **chapters}
    body = {key: value for key, value in given.items() if value is not None}
    return Call(method="POST", path="/v1/reports", json=body, read=dict)


def clip_path(name: str, from_seconds: float, until_seconds: float) -> str:
    """Return where a clip of a stream is to be had."""
    return f"{stream_path(name, 'clip')}?from={from_seconds!r}&to={until_seconds!r}"


def _path(begin: str, *parts: str | int) -> str:
    for part in map(str, parts):
        # dots are resolved on the way, and a server decodes %2F before it looks for the route
        if part in ("", ".", "..") or "/" in part:
            raise ValueError(
                f"{part!r} cannot stand in an address below {begin}: it would lead elsewhere; "
                "give a name or number that is not empty, is not . or .. and has no /"
            )
    return "/".join([begin, *(quote(str(part), safe="") for part in parts)])


def _each(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    return lambda listing: tuple(map(read, listing["data"]))


def _nothing(_: Any) -> None:
    return None
