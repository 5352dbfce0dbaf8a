"""Keys of those who may use a service: shown once, stored as hashes."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Row, insert, select, update

from hermes_stream.errors import StoreError, UnknownKeyError
from hermes_stream.service import tables
from hermes_stream.service.database import Database, database_url

Scope = Literal["read", "ask", "watch", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
_PREFIX = "hermes_"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as it is recorded; what it is itself nobody knows but its holder.

    Attributes:
        id: its number.
        label: what it is for.
        scopes: what its holder may do.
        max_streams: streams that its holder may have open; None is as many as the service takes.
        max_questions: questions that its holder may ask in a minute; None likewise.
        created_wall_seconds: when it was made, seconds since 1970.
        revoked_wall_seconds: when it was revoked; None where it is good.
    """

    id: int
    label: str
    scopes: frozenset[str]
    max_streams: int | None
    max_questions: int | None
    created_wall_seconds: float
    revoked_wall_seconds: float | None

    def allows(self, scope: Scope) -> bool:
        """Tell whether its holder may do something; admin may do everything."""
        return self.revoked_wall_seconds is None and bool(self.scopes & {scope, "admin"})


class Keys:
    """Makes, checks and revokes keys. Threads, and programs on one record, may share it.

    Args:
        database: holds the hashes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path, store: str | None = None, *, makes: bool = True) -> Iterator[Keys]:
        """Lend the keys of a service that may run at the same time.

        Args:
            data_dir: folder of the service.
            store: address of its Postgres database, if it has one.
            makes: make folder and record where there are none yet.

        Raises:
            StoreError: the record cannot be opened, or there is none.
        """
        url = database_url(data_dir, store)
        if store is None and makes:
            data_dir.mkdir(parents=True, exist_ok=True)
        elif store is None and not Path(str(url.database)).exists():
            raise StoreError(
                f"there is no record of a service in {data_dir}; give its folder as 'hermes serve' was given "
                "it"
            )
        database = Database(url)
        try:
            yield cls(database)
        finally:
            database.close()

    def create(
        self,
        label: str,
        scopes: Collection[str],
        *,
        max_streams: int | None = None,
        max_questions: int | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key; return it, for the only time, and what is recorded.

        Args:
            label: what it is for.
            scopes: what its holder may do.
            max_streams: streams that its holder may have open.
            max_questions: questions that its holder may ask in a minute.

        Raises:
            ValueError: a scope is unknown, or there is none.
        """
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes:
            raise ValueError(
                f"scopes must be some of {', '.join(SCOPES)}; got {', '.join(sorted(scopes)) or 'none'}"
            )
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        fields = {
            "label": label,
            "hash": _hash(secret),
            "scopes": sorted(set(scopes)),
            "max_streams": max_streams,
            "max_questions": max_questions,
            "created_wall_seconds": time.time(),
        }
        with self._database.writing() as connection:
            number = connection.execute(insert(tables.keys).values(**fields)).inserted_primary_key
            assert number is not None
            row = connection.execute(select(tables.keys).where(tables.keys.c.id == number[0])).one()
        return secret, _record(row)

    def verify(self, secret: str) -> KeyRecord | None:
        """Return the key's record, or None where there is none such or it was revoked."""
        columns = tables.keys.c
        # the hash of 256 random bits tells nothing, so that to look it up by index leaks nothing
        chosen = select(tables.keys).where(
            columns.hash == _hash(secret), columns.revoked_wall_seconds.is_(None)
        )
        with self._database.reading() as connection:
            row = connection.execute(chosen).first()
        return None if row is None else _record(row)

    def get(self, number: int) -> KeyRecord | None:
        """Return the record of a key; None where there is none such or it was revoked."""
        columns = tables.keys.c
        chosen = select(tables.keys).where(columns.id == number, columns.revoked_wall_seconds.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(chosen).first()
        return None if row is None else _record(row)

    def good(self, numbers: Collection[int]) -> frozenset[int]:
        """Return those of some keys that are not revoked.

        Raises:
            StoreError: the record cannot be read.
        """
        columns = tables.keys.c
        chosen = select(columns.id).where(columns.id.in_(numbers), columns.revoked_wall_seconds.is_(None))
        with self._database.reading() as connection:
            return frozenset(connection.execute(chosen).scalars())

    def list(self) -> tuple[KeyRecord, ...]:
        """Return all keys, revoked ones too."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.keys).order_by(tables.keys.c.id))
            return tuple(_record(row) for row in rows)

    def revoke(self, number: int) -> None:
        """Make a key worthless, from the next use on; safe to repeat.

        Raises:
            UnknownKeyError: there is no key of that number.
        """
        columns = tables.keys.c
        with self._database.writing() as connection:
            if connection.execute(select(columns.id).where(columns.id == number)).first() is None:
                raise UnknownKeyError(f"there is no key {number}; list the keys to see their numbers")
            connection.execute(
                update(tables.keys)
                .where(columns.id == number, columns.revoked_wall_seconds.is_(None))
                .values(revoked_wall_seconds=time.time())
            )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _record(row: Row[Any]) -> KeyRecord:
    fields = dict(row._mapping)
    del fields["hash"]
    return KeyRecord(**fields | {"scopes": frozenset(fields["scopes"])})
