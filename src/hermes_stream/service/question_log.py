"""Questions and answers of the record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, insert, select

from hermes_stream.errors import StoreError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.store_writer import StoreWriter
from hermes_stream.service.texts import storable

log = logging.getLogger(__name__)
_MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question and its answer.

    Attributes:
        stream_id: number of the stream.
        epoch: of the stream then.
        answer_id: of the ``LiveAnswer``.
        asked_wall_seconds: when it was asked, seconds since 1970.
        pts_seconds: time of the newest frame that the answer knows; None before any.
        question: what was asked.
        options: the choices, empty for an open question.
        remembered: whether it steers what the memory keeps.
        answer: the text, as far as it was made.
        option_index: which option was chosen; None for an open question.
        finish_reason: "stop", "length", "abandoned", "failed" or "not_seen".
        failure: why it failed.
        num_tokens: of the answer.
        ttft_seconds: see ``LiveAnswer``.
        ttft_with_pending_seconds: see ``LiveAnswer``.
        confidence: see ``LiveAnswer``.
        evidence: moments, as JSON values.
        guess: the answer that was held back where the text is a question back; None elsewhere.
    """

    stream_id: int
    epoch: int
    answer_id: str
    asked_wall_seconds: float
    pts_seconds: float | None
    question: str
    options: tuple[str, ...]
    remembered: bool
    answer: str
    option_index: int | None
    finish_reason: str
    failure: str | None
    num_tokens: int
    ttft_seconds: float | None
    ttft_with_pending_seconds: float | None
    confidence: float | None
    evidence: tuple[Mapping[str, Any], ...]
    guess: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRecord:
    """A question as it is recorded.

    Attributes:
        id: grows with every question.
        stream: name of the stream.
        asked: the question and its answer.
    """

    id: int
    stream: str
    asked: AskedQuestion


class QuestionLog:
    """Reads and writes questions. Threads may share it.

    Args:
        database: holds them.
        writer: writes.
    """

    def __init__(self, database: Database, writer: StoreWriter) -> None:
        self._database, self._writer = database, writer

    def add(self, asked: AskedQuestion) -> None:
        """Record a question soon, or once the record can be written; what never is, is logged."""
        fields = asdict(asked)
        for name in ("question", "answer", "failure", "guess"):
            fields[name] = None if fields[name] is None else storable(fields[name])
        fields["options"], fields["evidence"] = list(asked.options), list(asked.evidence)
        statement = insert(tables.questions).values(**fields)
        try:
            outcome = self._writer.submit(
                lambda connection: connection.execute(statement).close(), waits=True
            )
        except StoreError as error:
            log.error("a question is not recorded: %s", error)
            return
        outcome.add_done_callback(_log_failure)

    def read(
        self, *, stream_id: int | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[QuestionRecord, ...]:
        """Return questions, the newest first.

        Args:
            stream_id: of one stream alone.
            before: with smaller ids than this.
            limit: how many at most, 1 to 10,000.

        Raises:
            ValueError: the limit is out of its range.
            StoreError: the record cannot be read.
        """
        if not 1 <= limit <= _MAX_LIMIT:
            raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}, got {limit}")
        columns = tables.questions.c
        chosen = select(tables.questions, tables.streams.c.name).join(tables.streams)
        if stream_id is not None:
            chosen = chosen.where(columns.stream_id == stream_id)
        if before is not None:
            chosen = chosen.where(columns.id < before)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(columns.id.desc()).limit(limit))
            return tuple(_record(row) for row in rows)

    def cited_pictures(self, stream_id: int) -> set[str]:
        """Return the pictures that answers of a stream cite."""
        chosen = select(tables.questions.c.evidence).where(tables.questions.c.stream_id == stream_id)
        with self._database.reading() as connection:
            lists = connection.execute(chosen).scalars()
            return {one["picture"] for moments in lists for one in moments if one.get("picture")}


def _record(row: Row[Any]) -> QuestionRecord:
    fields = dict(row._mapping)
    number, name = fields.pop("id"), fields.pop("name")
    fields["options"], fields["evidence"] = tuple(fields["options"]), tuple(fields["evidence"])
    return QuestionRecord(id=number, stream=name, asked=AskedQuestion(**fields))


def _log_failure(outcome: Any) -> None:
    if (error := outcome.exception()) is not None:
        log.error("a question is not recorded: %s", error)
