"""From what a server refuses to the error that the same call raises in Python."""

from __future__ import annotations

from typing import Any

import httpx

from hermes_stream.errors import (
    CapacityError,
    ClosedError,
    HermesError,
    NotOwnerError,
    OtherOwnerError,
    OverloadedError,
    ServiceError,
    SnapshotError,
    SourceRefusedError,
    StoreError,
    StreamExistsError,
    UnknownIncidentError,
    UnknownPictureError,
    UnknownSnapshotError,
    UnknownStreamError,
    UnknownWatchError,
    UnknownWebhookError,
    VideoError,
    WatchExistsError,
)

_OF_CODE: dict[str, type[HermesError]] = {
    "source_refused": SourceRefusedError,
    "not_found": UnknownStreamError,
    "stream_exists": StreamExistsError,
    "not_own": OtherOwnerError,
    "watch_not_found": UnknownWatchError,
    "watch_exists": WatchExistsError,
    "incident_not_found": UnknownIncidentError,
    "webhook_not_found": UnknownWebhookError,
    "closed": ClosedError,
    "not_owner": NotOwnerError,
    "replica_gone": NotOwnerError,
    "store_failed": StoreError,
    "no_room": CapacityError,
    "no_video": VideoError,
    "snapshot_unusable": SnapshotError,
    "snapshot_not_found": UnknownSnapshotError,
    "picture_not_found": UnknownPictureError,
}
_DENIED, _TOO_MANY, _INVALID, _FAILED = (401, 403), 429, (400, 413, 422), 500


def check(response: httpx.Response) -> None:
    """Raise what a response says, unless it is good. A streamed one must have been read.

    Raises:
        HermesError: the service refused, by the kind that the same call raises in Python.
        ValueError: an argument is out of its range.
        PermissionError: no key, a wrong one, or one that may not do this.
    """
    if response.is_success:
        return
    try:
        document = response.json()
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict) or "message" not in error:
        raise ServiceError(
            f"{response.request.url.host} answered {response.status_code} to {response.request.method} "
            f"{response.request.url.path}, and not as hermes-stream does; is it such a server?"
        )
    raise error_of(response.status_code, error, retry_after=response.headers.get("Retry-After"))


def error_of(status: int, error: dict[str, Any], *, retry_after: str | None = None) -> Exception:
    """Return the error of a refusal.

    Args:
        status: of HTTP.
        error: what stands under ``error``.
        retry_after: the header of that name.
    """
    message, code = str(error["message"]), error.get("code")
    if status == _TOO_MANY:
        later = error.get("retry_after_seconds") or float(retry_after or 1)
        return OverloadedError(message, retry_after_seconds=later)
    if code in _OF_CODE:
        return _OF_CODE[code](message)
    if status in _DENIED:
        return PermissionError(message)
    return ValueError(message) if status in _INVALID else ServiceError(message)


def error_of_event(error: dict[str, Any]) -> Exception:
    """Return the error that the last of server-sent events tells, where no status can be told any more."""
    is_denied = error.get("type") == "authentication_error"  # the key was revoked meanwhile
    return error_of(_DENIED[0] if is_denied else _FAILED, error)


def unreachable(address: str, error: httpx.HTTPError) -> ServiceError:
    """Return the error of a server that cannot be spoken with."""
    reason = str(error) or type(error).__name__
    return ServiceError(
        f"cannot speak with {address}: {reason}; is 'hermes serve' running, and is this its address?"
    )
