"""What is kept, and for how long: the oldest goes first, what answers and events show goes last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, func, select

from hermes_stream.service import tables
from hermes_stream.service.events import NewEvent
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.service_folder import ServiceFolder, folder_bytes
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.store import Store

log = logging.getLogger(__name__)
_DAY_SECONDS = 86_400.0
_SHARE_AT_ONCE = 10  # a tenth of the rows at a time, until it fits
_DOWN_TO = 0.9


class Retention:
    """Deletes what is too old or too much. One thread at a time.

    Args:
        folder: of the service.
        store: the record.
        settings: of the service.
        is_due: tells whether this service does it; of several on one record one does. None where it is alone.
    """

    def __init__(
        self,
        folder: ServiceFolder,
        store: Store,
        settings: ServiceSettings,
        is_due: Callable[[], bool] | None = None,
    ) -> None:
        self._folder, self._store, self._settings, self._is_due = folder, store, settings, is_due

    def sweep(self, streams: Sequence[ServedStream]) -> None:
        """Delete by age, then by size, and tell what went.

        Raises:
            StoreError: the record cannot be changed.
        """
        if self._is_due is not None and not self._is_due():
            return
        num_rows = num_pictures = num_snapshots = 0
        if self._settings.keep_days is not None:
            oldest = time.time() - self._settings.keep_days * _DAY_SECONDS
            num_rows = self._delete_rows(oldest)
            num_pictures = self._delete_days(streams, oldest)
        most = self._settings.keep_bytes
        if most is not None and self.num_bytes > most:
            most = int(_DOWN_TO * most)  # else the next minute would begin again
            num_pictures += self._shrink_pictures(streams, most)
            num_snapshots = self._shrink_snapshots(most)
            num_rows += self._shrink_rows(most)
        if num_rows:
            self._store.database.give_back_space()
        if num_rows or num_pictures or num_snapshots:
            payload = {"rows": num_rows, "pictures": num_pictures, "snapshots": num_snapshots}
            self._store.tell(NewEvent(kind="retention", wall_seconds=time.time(), payload=payload))

    @property
    def num_bytes(self) -> int:
        """Bytes of record, pictures, snapshots and journals."""
        folder = self._folder
        folders = (folder.pictures, folder.snapshots, folder.journals)
        return self._store.database.num_bytes + sum(map(folder_bytes, folders))

    def _delete_rows(self, before_wall_seconds: float) -> int:
        def change(connection: object) -> int:
            count = 0
            for table, column in (
                (tables.events, tables.events.c.wall_seconds),
                (tables.questions, tables.questions.c.asked_wall_seconds),
                (tables.incidents, tables.incidents.c.ended_wall_seconds),
            ):
                gone = connection.execute(delete(table).where(column < before_wall_seconds))  # type: ignore[attr-defined]
                count += gone.rowcount
            return count

        return self._store.writer.write(change)

    def _shrink_rows(self, most_bytes: int) -> int:
        """Delete the oldest events and questions, a tenth of them at a time."""
        total = 0
        while self.num_bytes > most_bytes:
            moment = self._tenth_oldest()
            if moment is None:
                log.warning("the data folder stays above keep_bytes: what streams need to go on is kept")
                break
            total += self._delete_rows(moment)
        return total

    def _tenth_oldest(self) -> float | None:
        """Return a time before which a tenth of the events lie; None where there are few."""
        column = tables.events.c.wall_seconds
        with self._store.database.reading() as connection:
            count = connection.execute(select(func.count()).select_from(tables.events)).scalar() or 0
            if count < _SHARE_AT_ONCE:
                return None
            place = select(column).order_by(column).offset(count // _SHARE_AT_ONCE).limit(1)
            found = connection.execute(place).scalar()
        return None if found is None else float(found) + 1e-6

    def _delete_days(self, streams: Sequence[ServedStream], before_wall_seconds: float) -> int:
        """Delete pictures of days that ended before a time."""
        day = datetime.fromtimestamp(before_wall_seconds, UTC).date()
        return sum(
            len(self._delete_pictures(streams, folder, set()))
            for folder in self._folder.pictures.glob("*/*")
            if folder.is_dir() and folder.name < day.isoformat()
        )

    def _shrink_pictures(self, streams: Sequence[ServedStream], most_bytes: int) -> int:
        """Delete the oldest days' pictures: first what nothing shows, then what answers and events show."""
        total, excess = 0, self.num_bytes - most_bytes
        folders = sorted(self._folder.pictures.glob("*/*"), key=lambda folder: folder.name)
        cited = self._cited()
        for spared in (cited, set[str]()):
            for folder in folders:
                if excess <= 0:
                    return total
                gone = self._delete_pictures(streams, folder, spared)
                total, excess = total + len(gone), excess - sum(gone)
        return total

    def _cited(self) -> set[str]:
        with self._store.database.reading() as connection:
            column = tables.events.c.picture
            shown = set(connection.execute(select(column).where(column.is_not(None))).scalars())
        for row in self._store.streams.all():
            shown |= self._store.questions.cited_pictures(row.id)
            shown |= self._store.incidents.cited_pictures(row.id)
        return shown

    def _delete_pictures(self, streams: Sequence[ServedStream], folder: Path, spared: set[str]) -> list[int]:
        """Delete a day's pictures of a stream but those that are spared; return what each took."""
        root = self._folder.pictures
        files = {path.relative_to(root).as_posix(): path for path in folder.glob("*.jpg")}
        gone = {name: path.stat().st_size for name, path in files.items() if name not in spared}
        owner = next((one for one in streams if one.row.folder == folder.parent.name), None)
        if owner is not None and owner.pictures is not None:
            owner.pictures.delete(gone)
        for name in gone:
            files[name].unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        return list(gone.values())

    def _shrink_snapshots(self, most_bytes: int) -> int:
        """Delete the oldest snapshots, but not the newest of a stream: it goes on from there."""
        known = sorted(self._store.snapshots.read(), key=lambda one: (one.is_kept, one.id))
        # of those that somebody asked for none is what it goes on from, as long as there are others
        newest = {one.stream: one.id for one in sorted(known, key=lambda one: (not one.is_kept, one.id))}
        count, excess = 0, self.num_bytes - most_bytes
        for one in known:
            if excess <= 0:
                break
            if one.id != newest[one.stream]:
                path = self._folder.path / one.path
                excess -= path.stat().st_size if path.exists() else 0
                path.unlink(missing_ok=True)
                self._store.snapshots.remove([one.id])
                count += 1
        return count
