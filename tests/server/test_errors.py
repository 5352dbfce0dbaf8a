"""Every error of the tree has a status, and one shape."""

from __future__ import annotations

import errno
import inspect
import logging
import os

import pytest

from hermes_stream import errors
from hermes_stream.server.errors import RefusedError, refusal_of
from hermes_stream.server.log_lines import TextLines

TREE = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.HermesError)]
EXPECTED = {
    "SourceRefusedError": 403,
    "UnknownStreamError": 404,
    "UnknownSnapshotError": 404,
    "UnknownPictureError": 404,
    "UnknownKeyError": 404,
    "UnknownWatchError": 404,
    "UnknownIncidentError": 404,
    "UnknownWebhookError": 404,
    "OtherOwnerError": 403,
    "WatchExistsError": 409,
    "StreamExistsError": 409,
    "OverloadedError": 429,
    "ClosedError": 503,
    "StoreError": 503,
    "SettingsError": 400,
    "SnapshotError": 409,
    "OtherModelError": 409,
    "NotOwnerError": 503,
    "CapacityError": 409,
    "VideoError": 409,
    "MissingPackageError": 501,
}


@pytest.mark.parametrize("kind", TREE)
def test_every_error_of_the_tree_has_a_status(kind):
    extra = {"retry_after_seconds": 2.2} if kind is errors.OverloadedError else {}
    refusal = refusal_of(kind("words", **extra))
    assert refusal.status == EXPECTED.get(kind.__name__, 500)
    assert refusal.body["error"]["message"] == "words"
    assert refusal.all_headers.get("Retry-After") == ("3" if extra else None)


def test_a_plain_value_error_is_the_clients():
    assert refusal_of(ValueError("fps must be above 0")).status == 400


def test_what_nobody_meant_to_raise_tells_nothing_of_the_inside(caplog):
    refusal = refusal_of(RuntimeError("password=hunter2"))
    assert refusal.status == 500
    assert "hunter2" not in str(refusal.body)
    assert "hunter2" in caplog.text


def test_a_disk_that_takes_nothing_is_told_without_where_it_lies():
    refusal = refusal_of(OSError(errno.EROFS, os.strerror(errno.EROFS), "/srv/cameras/x"))
    assert (refusal.status, refusal.body["error"]["code"]) == (503, "disk_failed")
    assert "Read-only file system" in refusal.body["error"]["message"]
    assert "cameras" not in str(refusal.body)
    assert refusal_of(OSError(errno.ECONNRESET, "reset")).status == 500


def test_a_refusal_says_what_is_accepted():
    error = RefusedError(400, "n must be 1", code="unsupported_parameter", param="n", accepted=[1])
    assert refusal_of(error).body["error"] == {
        "type": "invalid_request_error",
        "message": "n must be 1",
        "code": "unsupported_parameter",
        "param": "n",
        "accepted": [1],
    }


def test_a_path_makes_no_line_of_the_log_of_its_own():
    record = logging.LogRecord("x", logging.INFO, "x", 1, "GET %s", ("/a\n2026-01-01 INFO b\x1b[31m",), None)
    line = TextLines().format(record)
    assert line.endswith(r"GET /a\n2026-01-01 INFO b\x1b[31m")
