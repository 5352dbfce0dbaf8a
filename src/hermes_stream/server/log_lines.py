"""Lines of the log, as text or JSON, with the ids of the request that they belong to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from hermes_stream.server.request_log import request_context

_FIELDS = ("request_id", "stream", "method", "route", "status", "seconds")


class JsonLines(logging.Formatter):
    """One JSON document a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **request_context(),
            **{name: getattr(record, name) for name in _FIELDS if hasattr(record, name)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextLines(logging.Formatter):
    """For people: when, how grave, what, and of which request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return a line."""
        request_id = request_context().get("request_id") or getattr(record, "request_id", None)
        return super().format(record) + (f" [{request_id}]" if request_id else "")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return a line without its traceback; paths and names from clients make no lines of their own."""
        line = super().formatMessage(record)
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def log_settings(kind: str, level: str = "INFO") -> dict[str, Any]:
    """Return what ``logging.config.dictConfig`` takes, for the server's own lines and uvicorn's.

    Args:
        kind: ``text`` or ``json``.
        level: of the least grave lines that are shown.
    """
    formatter = JsonLines if kind == "json" else TextLines
    loggers = {
        "uvicorn": {"level": level},
        "uvicorn.access": {
            "level": "CRITICAL"
        },  # its lines show addresses whole, tokens of WebSockets in them
        "hermes_stream": {"level": level},
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": loggers,
    }
