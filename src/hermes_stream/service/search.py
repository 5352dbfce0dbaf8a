"""What was recorded, found by words and time: events, answers and descriptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    table,
)

from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.event_log import event_of_row
from hermes_stream.service.events import Event
from hermes_stream.service.search_words import SearchWords, Term

_MAX_LIMIT = 1000
_SNIPPET_CHARACTERS = 240
_BEFORE_CHARACTERS = 60
# The expression that the index of Postgres was made of, letter by letter: else it would not be used
_WORDS: ColumnElement[Any] = literal_column(
    "to_tsvector('simple', translate(events.text, '.,:;/\\@-_+*#''\"()[]{}<>|&!?=~$%^`', repeat(' ', 40)))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """The part of a text in which words were found.

    Attributes:
        text: plain text; whoever shows it escapes it.
        marks: where words that were looked for begin and end in it, in characters.
    """

    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """An event that was found.

    Attributes:
        event: as it is recorded.
        snippet: of its text.
    """

    event: Event
    snippet: Snippet


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """Results, the newest first.

    Attributes:
        results: on this page.
        next_before: ``before`` of the next page; None where there is none.
    """

    results: tuple[SearchResult, ...]
    next_before: int | None


class Search:
    """Finds events by words and time. Threads may share it.

    Args:
        database: holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        words: str = "",
        *,
        stream_id: int | None = None,
        kinds: Sequence[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> SearchPage:
        """Return what has all the words, the newest first.

        Args:
            words: words find those that begin with them; ``"words in quotes"`` are found as they stand, and
                ``-word`` leaves out what has it. Empty finds whatever has a text.
            stream_id: of one stream alone.
            kinds: of these kinds alone.
            since: not before this wall-clock time, in seconds since 1970.
            until: before this wall-clock time.
            before: events with smaller ids than this.
            limit: how many at most, 1 to 1,000.

        Raises:
            ValueError: there is no word in the words, they are too many, or the limit is out of its range.
            StoreError: the record cannot be read.
        """
        if not 1 <= limit <= _MAX_LIMIT:
            raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}, got {limit}")
        wanted = SearchWords.read(words)
        events = tables.events.c
        chosen = select(tables.events, tables.streams.c.name).select_from(
            tables.events.outerjoin(tables.streams)
        )
        if stream_id is not None:
            chosen = chosen.where(events.stream_id == stream_id)
        if since is not None:
            chosen = chosen.where(events.wall_seconds >= since)
        if until is not None:
            chosen = chosen.where(events.wall_seconds < until)
        if before is not None:
            chosen = chosen.where(events.id < before)
        if kinds is not None:
            chosen = chosen.where(events.kind.in_(kinds))
        chosen = self._with_words(chosen, wanted).order_by(events.id.desc()).limit(limit + 1)
        with self._database.reading() as connection:
            rows = connection.execute(chosen).all()
        found = tuple(_result(row, wanted) for row in rows[:limit])
        more = len(rows) > limit
        return SearchPage(results=found, next_before=found[-1].event.id if more else None)

    def _with_words(self, chosen: Select[Any], wanted: SearchWords) -> Select[Any]:
        if wanted.is_empty:
            return chosen.where(tables.events.c.text != "")
        if self._database.is_sqlite:
            words = table("event_words", column("rowid"), column("event_words"))
            match = column("event_words").op("MATCH")(bindparam("wanted", wanted.for_sqlite()))
            return chosen.where(tables.events.c.id.in_(select(words.c.rowid).where(match)))
        return chosen.where(and_(*_postgres_terms(wanted)))


def _postgres_terms(wanted: SearchWords) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for term in wanted.terms:
        # quoted as one lexeme: letters and digits alone are left in it
        query = " <-> ".join(f"'{word}'" for word in term.words)
        found = _WORDS.op("@@")(func.to_tsquery("simple", f"{query}:*" if term.is_prefix else query))
        conditions.append(~found if term.is_unwanted else found)
    return conditions


def _result(row: Row[Any], wanted: SearchWords) -> SearchResult:
    return SearchResult(event=event_of_row(row), snippet=snippet_of(row.text, wanted.terms))


def snippet_of(whole: str, terms: Sequence[Term]) -> Snippet:
    """Return the part of a text around the first word that was looked for, with all of them in it marked."""
    spans = sorted(span for term in terms if not term.is_unwanted for span in _spans(whole, term))
    begin = max(0, spans[0][0] - _BEFORE_CHARACTERS) if spans else 0
    if begin:
        begin = whole.find(" ", begin, spans[0][0]) + 1 or begin
    part = whole[begin : begin + _SNIPPET_CHARACTERS]
    marks: list[tuple[int, int]] = []
    for first, last in spans:
        start, end = first - begin, min(last - begin, len(part))
        if start < end and (not marks or start >= marks[-1][1]):
            marks.append((start, end))
    return Snippet(text=part, marks=tuple(marks))


def _spans(whole: str, term: Term) -> list[tuple[int, int]]:
    pattern = r"[\W_]+".join(map(re.escape, term.words))
    ending = r"[^\W_]*" if term.is_prefix else r"(?![^\W_])"
    return [found.span() for found in re.finditer(rf"(?<![^\W_]){pattern}{ending}", whole, re.IGNORECASE)]
