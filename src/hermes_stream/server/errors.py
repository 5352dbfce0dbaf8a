"""From what went wrong to what a client is told: one map, and one shape.

The shape is OpenAI's, so that its clients raise their own errors: ``{"error": {"type", "message", "code",
"param"}}``, with ``accepted`` where the refusal says what would have been.
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException

from hermes_stream.errors import (
    CapacityError,
    ClosedError,
    HermesError,
    MissingPackageError,
    ModelError,
    NotOwnerError,
    OtherOwnerError,
    OverloadedError,
    SettingsError,
    SnapshotError,
    SourceRefusedError,
    StoreError,
    StreamExistsError,
    UnknownIncidentError,
    UnknownKeyError,
    UnknownPictureError,
    UnknownSnapshotError,
    UnknownStreamError,
    UnknownWatchError,
    UnknownWebhookError,
    VideoError,
    WatchExistsError,
)
from hermes_stream.service.shown import without_folders

logger = logging.getLogger(__name__)

_INVALID, _UNKNOWN, _LATER = "invalid_request_error", "not_found_error", "rate_limit_error"
_FAULT, _UNAVAILABLE = "server_error", "service_unavailable_error"

# The first that an error is an instance of: those deeper in the tree come before those above them.
_OF_TREE: tuple[tuple[type[Exception], int, str, str], ...] = (
    (SourceRefusedError, 403, "permission_error", "source_refused"),
    (UnknownStreamError, 404, _UNKNOWN, "not_found"),
    (UnknownSnapshotError, 404, _UNKNOWN, "snapshot_not_found"),
    (UnknownPictureError, 404, _UNKNOWN, "picture_not_found"),
    (UnknownKeyError, 404, _UNKNOWN, "key_not_found"),
    (UnknownWatchError, 404, _UNKNOWN, "watch_not_found"),
    (UnknownIncidentError, 404, _UNKNOWN, "incident_not_found"),
    (UnknownWebhookError, 404, _UNKNOWN, "webhook_not_found"),
    (StreamExistsError, 409, "conflict_error", "stream_exists"),
    (OtherOwnerError, 403, "permission_error", "not_own"),
    (WatchExistsError, 409, "conflict_error", "watch_exists"),
    (OverloadedError, 429, _LATER, "overloaded"),
    (NotOwnerError, 503, _UNAVAILABLE, "not_owner"),
    (ClosedError, 503, _UNAVAILABLE, "closed"),
    (StoreError, 503, _UNAVAILABLE, "store_failed"),
    (SettingsError, 400, _INVALID, "invalid_setting"),
    (SnapshotError, 409, "conflict_error", "snapshot_unusable"),
    (CapacityError, 409, "conflict_error", "no_room"),
    (VideoError, 409, "conflict_error", "no_video"),
    (ModelError, 500, _FAULT, "model_failed"),
    (MissingPackageError, 501, _FAULT, "not_installed"),
    (HermesError, 500, _FAULT, "failed"),
    (ValueError, 400, _INVALID, "invalid_value"),
)
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
# Their values may hold passwords, or are keys: never told back.
_SECRET_FIELDS = {"key", "source", "secret", "url", "image_url", "video_url", "token", "resume"}
_TYPE_OF_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    404: _UNKNOWN,
    409: "conflict_error",
    429: _LATER,
    503: _UNAVAILABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a client is told.

    Attributes:
        status: of HTTP.
        type: kind of error, for programs.
        message: what failed, the value got, what is accepted, what to do.
        code: the case within its kind.
        param: field of the request that is at fault.
        accepted: what the field takes.
        retry_after_seconds: when to try again.
        headers: further headers of the response.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    accepted: Any = None
    retry_after_seconds: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON document."""
        error: dict[str, Any] = {
            "type": self.type,
            "message": self.message,
            "code": self.code,
            "param": self.param,
        }
        if self.accepted is not None:
            error["accepted"] = self.accepted
        if self.retry_after_seconds is not None:
            error["retry_after_seconds"] = self.retry_after_seconds
        return {"error": error}

    @property
    def all_headers(self) -> dict[str, str]:
        """Headers of the response."""
        later = self.retry_after_seconds
        return {**self.headers, **({} if later is None else {"Retry-After": str(max(1, math.ceil(later)))})}


class RefusedError(HTTPException):
    """A request that the server itself refuses; of the framework's own kind, which it lets pass."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        accepted: Any = None,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message)
        self.refusal = Refusal(
            status=status,
            type=_type_of(status),
            message=message,
            code=code,
            param=param,
            accepted=accepted,
            retry_after_seconds=retry_after_seconds,
            headers=headers or {},
        )


def refusal_of(error: BaseException) -> Refusal:
    """Return what a client is told of an error; one that nobody raised on purpose is logged."""
    if isinstance(error, RefusedError):
        return error.refusal
    if isinstance(error, RequestValidationError | WebSocketRequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_framework(error)
    for kind, status, type_, code in _OF_TREE:
        if isinstance(error, kind):
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                # that a stream closes while somebody waits is its life, no fault
                level = logging.INFO if isinstance(error, ClosedError) else logging.ERROR
                logger.log(level, "request failed: %s: %s", type(error).__name__, error)
            later = error.retry_after_seconds if isinstance(error, OverloadedError) else None
            return Refusal(
                status=status,
                type=type_,
                message=without_folders(str(error)),
                code=code,
                retry_after_seconds=later,
            )
    logger.error("request failed: %s", type(error).__name__, exc_info=error)
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        why = f"the disk of this server takes nothing: {error.strerror}; mend that, and try again"
        return Refusal(status=503, type=_UNAVAILABLE, message=why, code="disk_failed", retry_after_seconds=60)
    message = "the server failed at this request; its log says why, under the id in X-Request-ID"
    return Refusal(status=500, type=_FAULT, message=message, code="internal_error")


def _type_of(status: int) -> str:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _TYPE_OF_STATUS.get(status, _FAULT)
    return _TYPE_OF_STATUS.get(status, _INVALID)


def _of_validation(error: RequestValidationError | WebSocketRequestValidationError) -> Refusal:
    """Name the first field at fault, its value and what is accepted."""
    faults: list[dict[str, Any]] = list(error.errors())
    first: dict[str, Any] = (
        faults[0] if faults else {"loc": (), "msg": "the request is not as described", "type": "value"}
    )
    place = [str(part) for part in first["loc"]]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        message = f"the body is no JSON: {reason}; send one JSON document as /docs shows it"
        return Refusal(status=400, type=_INVALID, message=message, code="invalid_json")
    name = ".".join(place[1:]) or (place[0] if place else "request")
    # the body itself, or a table in it, may hold any field
    is_whole = len(place) < 2 or isinstance(first.get("input"), dict)
    is_shown = "input" in first and not is_whole and not _SECRET_FIELDS & set(place)
    got = f", got {_shortened(first['input'])}" if is_shown else ""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Refusal(
        status=422,
        type=_INVALID,
        message=f"{name}: {first['msg']}{got}{more}; see /docs for what is accepted",
        code=str(first["type"]),
        param=name,
        accepted=_plain(first.get("ctx")),
    )


def _plain(context: Any) -> Any:
    """Return what pydantic says of a limit, where it is plain."""
    if not isinstance(context, dict):
        return None
    shown = {key: value for key, value in context.items() if isinstance(value, str | int | float | list)}
    return shown or None


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _of_framework(error: HTTPException) -> Refusal:
    headers = dict(error.headers or {})
    messages = {
        404: "there is nothing at this address; see /docs for the routes",
        405: f"this address does not take this method; it takes {headers.get('Allow', 'others')}, see /docs",
    }
    codes = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    return Refusal(
        status=error.status_code,
        type=_type_of(error.status_code),
        message=messages.get(error.status_code, str(error.detail)),
        code=codes.get(error.status_code, HTTPStatus(error.status_code).name.lower()),
        headers=headers,
    )
