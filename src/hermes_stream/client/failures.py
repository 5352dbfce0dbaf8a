"""From what a server refuses to the error that the same call raises in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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

T = TypeVar("T")
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
_LATER = (502, 503, 504)  # of a proxy, while the server behind it starts again


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
    told = document if isinstance(document, dict) else {}
    if isinstance(error := told.get("error"), dict) and "message" in error:
        raise error_of(response.status_code, error, retry_after=response.headers.get("Retry-After"))
    if isinstance(reasons := told.get("reasons"), list):
        raise ClosedError(f"{_answer(response)}: {'; '.join(map(str, reasons)) or 'it takes no work now'}")
    raise _strange(response)


def result_of(response: httpx.Response, read: Callable[[Any], T]) -> T:
    """Return what a good response means; raise as ``check`` does.

    Args:
        response: whole.
        read: makes the result of its JSON document, None where it has none.

    Raises:
        ServiceError: it is no document of this service.
    """
    check(response)
    try:
        return read(response.json() if response.content else None)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _strange(response) from error


def file_of(response: httpx.Response, kind: str) -> bytes:
    """Return the file that a good response is; raise as ``check`` does.

    Args:
        response: whole.
        kind: that it should have, such as ``image/jpeg``.

    Raises:
        ServiceError: it is something else, such as the login page of a proxy.
    """
    check(response)
    if response.headers.get("Content-Type") != kind:
        raise _strange(response)
    return response.content


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


def _answer(response: httpx.Response) -> str:
    request = response.request
    return f"{request.url.host} answered {response.status_code} to {request.method} {request.url.path}"


def _strange(response: httpx.Response) -> ServiceError:
    """Return the error of an answer that is none of this package's."""
    if response.has_redirect_location:
        return ServiceError(f"{_answer(response)}: give the address itself, {response.headers['location']}")
    kind = ClosedError if response.status_code in _LATER else ServiceError
    return kind(f"{_answer(response)}, and not as hermes-stream does; is it such a server?")


def unreachable(address: str, error: httpx.HTTPError) -> ServiceError:
    """Return the error of a server that cannot be spoken with."""
    reason = str(error) or type(error).__name__
    return ServiceError(
        f"cannot speak with {address}: {reason}; is 'hermes serve' running, and is this its address?"
    )
