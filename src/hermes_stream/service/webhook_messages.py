"""What a webhook says, and how it is signed: the form of Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hermes_stream.service.events import Event
from hermes_stream.service.incidents import Incident
from hermes_stream.service.watch_events import WATCH_KINDS

_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64
_TYPE_OF = {
    "alert_raised": "incident.new",
    "incident_updated": "incident.update",
    "alert_cleared": "incident.end",
    "state_changed": "state.changed",
    "count_rose": "count.rose",
    "described": "described",
}


def new_secret() -> str:
    """Return a secret that nobody knows yet."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> str:
    """Return a secret that signs.

    Raises:
        ValueError: it is none; the message does not show it.
    """
    key = _key_of(secret)
    if key is None or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(
            f"secret must be {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64; leave it "
            "out, and one is made"
        )
    return secret


def _key_of(secret: str) -> bytes | None:
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None


def signed(message_id: str, content: bytes, secret: str, *, wall_seconds: float) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        message_id: the same whenever the message is tried again.
        content: its body.
        secret: of the webhook.
        wall_seconds: when it is sent, seconds since 1970.
    """
    moment = str(int(wall_seconds))
    text = b".".join((message_id.encode(), moment.encode(), content))
    code = hmac.new(_key_of(secret) or b"", text, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(code).decode()}",
        "content-type": "application/json",
    }


def message_of(event: Event, incident: Incident | None, *, base_url: str) -> bytes:
    """Return the body of the message about an event.

    Args:
        event: as it is recorded.
        incident: that it belongs to, as it is now.
        base_url: what comes before the paths of pictures.
    """
    kind = _TYPE_OF.get(event.kind, event.kind)
    told = event.kind in WATCH_KINDS
    content = _of_watch(event, incident, base_url) if told else _of_other(event, base_url)
    document = {"type": kind, "timestamp": _iso(event.wall_seconds), "data": content}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _of_watch(event: Event, incident: Incident | None, base_url: str) -> dict[str, Any]:
    told: Mapping[str, Any] = event.payload
    pictures = () if incident is None else incident.pictures
    started = event.wall_seconds if incident is None else incident.started_wall_seconds
    ended = None if incident is None else incident.ended_wall_seconds
    return {
        "id": event.id,
        "incident_id": told.get("incident"),
        "stream": event.stream,
        "camera": event.stream,
        "watch": told["name"],
        "question": told["question"],
        "verdict": told.get("value"),
        "before": told.get("value_before"),
        "after": told.get("value"),
        "reason": told.get("reason"),
        "confidence": told.get("score"),
        "severity": told.get("severity"),
        "stream_seconds": event.pts_seconds,
        "started_at": _iso(started),
        "ended_at": None if ended is None or event.kind != "alert_cleared" else _iso(ended),
        "summary": told.get("summary"),
        "picture_url": _url(event.picture, base_url),
        "picture_urls": [_url(one.picture, base_url) for one in pictures],
        "evidence": told.get("evidence", []),
    }


def _of_other(event: Event, base_url: str) -> dict[str, Any]:
    return {
        "id": event.id,
        "stream": event.stream,
        "stream_seconds": event.pts_seconds,
        "picture_url": _url(event.picture, base_url),
        **{f"event_{name}" if name in ("id", "stream") else name: one for name, one in event.payload.items()},
    }


def _url(picture: str | None, base_url: str) -> str | None:
    return None if picture is None else f"{base_url}/v1/pictures/{picture}"


def _iso(wall_seconds: float) -> str:
    return datetime.fromtimestamp(wall_seconds, UTC).isoformat().replace("+00:00", "Z")
