"""What happened, for whoever looks back: found by words, told as a report, shown as a clip."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from hermes_stream.digest.chapters import MAX_CHAPTERS
from hermes_stream.digest.values import Digest, Picture
from hermes_stream.errors import StoreError, UnknownPictureError, UnknownStreamError
from hermes_stream.service.clip import Clip, KeptFolders, write_clip
from hermes_stream.service.database import Database, database_url
from hermes_stream.service.event_log import read_events
from hermes_stream.service.pictures import read_picture
from hermes_stream.service.report import MIN_CHAPTER_SECONDS, digest_of_record
from hermes_stream.service.search import Search, SearchPage
from hermes_stream.service.stream_rows import StreamRow, read_stream_rows

MAX_STREAMS = 100


class Record:
    """Looks back at what a service recorded; the service may run meanwhile. Threads may share it.

    Args:
        database: of the record.
        data_dir: folder of the service.
    """

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._folders = KeptFolders(pictures=data_dir / "pictures", journals=data_dir / "journals")
        self._search = Search(database)

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path, store: str | None = None) -> Iterator[Self]:
        """Lend the record of a folder.

        Args:
            data_dir: folder of a service.
            store: address of its Postgres database, if it has one.

        Raises:
            StoreError: there is no record, or it cannot be opened.
        """
        file = data_dir / "events.sqlite"
        if store is None and not file.is_file():
            raise StoreError(
                f"there is no record in {data_dir}; give the folder of a service ('hermes serve --data')"
            )
        reads_only = store is None and not (os.access(data_dir, os.W_OK) and os.access(file, os.W_OK))
        database = Database(database_url(data_dir, store), reads_only=reads_only)
        try:
            yield cls(database, data_dir)
        finally:
            database.close()

    def search(self, words: str = "", *, stream: str | None = None, **chosen: Any) -> SearchPage:
        """Find events, answers and descriptions by words and time, the newest first.

        Args:
            words: see ``Search.find``.
            stream: name of the only stream; None for all.
            **chosen: kinds, since, until, before, limit; see ``Search.find``.

        Raises:
            UnknownStreamError: there is no such stream.
            ValueError: the words hold none, or a number is out of its range.
            StoreError: the record cannot be read.
        """
        stream_id = None if stream is None else self._row(stream).id
        return self._search.find(words, stream_id=stream_id, **chosen)

    def report(
        self,
        streams: Sequence[str] | None = None,
        *,
        since: float | None = None,
        until: float | None = None,
        min_chapter_seconds: float | None = None,
        max_chapters: int | None = None,
    ) -> tuple[Digest, ...]:
        """Tell what happened on streams: chapters, incidents, answers, events.

        Args:
            streams: their names; None for all, the first 100.
            since: not before this wall-clock time, seconds since 1970.
            until: before this wall-clock time.
            min_chapter_seconds: of a chapter, at least; above 0, 10 without.
            max_chapters: of a stream, at most; from 1 on, 24 without.

        Raises:
            UnknownStreamError: there is no such stream.
            ValueError: there are too many, or a number is out of its range.
            StoreError: the record cannot be read.
        """
        if streams is not None and len(streams) > MAX_STREAMS:
            raise ValueError(f"a report is of at most {MAX_STREAMS} streams, got {len(streams)}")
        if since is not None and until is not None and until <= since:
            raise ValueError(f"a report goes from one time to a later one, got {since:g} to {until:g}")
        shortest = MIN_CHAPTER_SECONDS if min_chapter_seconds is None else min_chapter_seconds
        most = MAX_CHAPTERS if max_chapters is None else max_chapters
        if not shortest > 0:
            raise ValueError(f"min_chapter_seconds must be above 0, got {min_chapter_seconds}")
        if most < 1:
            raise ValueError(f"max_chapters must be at least 1, got {max_chapters}")
        if streams is None:
            rows = [row for row in read_stream_rows(self._database) if row.state != "deleting"]
        else:
            rows = [self._row(name) for name in dict.fromkeys(streams)]
        return tuple(
            digest_of_record(
                self._database,
                row,
                since=since,
                until=until,
                min_chapter_seconds=shortest,
                max_chapters=most,
            )
            for row in rows[:MAX_STREAMS]
        )

    def clip(self, stream: str, target: Path, *, from_seconds: float, until_seconds: float) -> Clip:
        """Write a clip of a stream; see ``write_clip``.

        Raises:
            UnknownStreamError: there is no such stream.
            UnknownPictureError: nothing of that time is kept.
            ValueError: the times are none that a clip can have.
        """
        row = self._row(stream)
        return write_clip(
            row,
            self._folders,
            target,
            from_seconds=from_seconds,
            until_seconds=until_seconds,
            file_zero_seconds=self._opened_seconds(row),
        )

    def _opened_seconds(self, row: StreamRow) -> float | None:
        """Return the stream's time at which its source was opened last; None where the record forgot it."""
        told = read_events(
            self._database, stream_id=row.id, kinds=["source_state"], newest_first=True, limit=100
        )
        return next((one.pts_seconds for one in told if one.payload.get("what") == "opened"), None)

    def picture(self, picture: Picture) -> bytes | None:
        """Return a picture's file; None where it is gone."""
        if picture.path is None:
            return picture.jpeg
        try:
            return read_picture(self._folders.pictures, picture.path)
        except (UnknownPictureError, ValueError):
            return None

    def _row(self, name: str) -> StreamRow:
        rows = read_stream_rows(self._database)
        found = next((row for row in rows if row.name == name), None)
        if found is None:
            names = ", ".join(row.name for row in rows[:20]) or "none"
            raise UnknownStreamError(f"the record has no stream {name!r}; it has {names}")
        return found
