"""The database of the record: SQLite in a file, or Postgres by address; brought up to date when opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, OperationalError, SQLAlchemyError

from hermes_stream.errors import MissingPackageError, StoreError
from hermes_stream.service.migrations import is_newest, upgrade

_WRITES = "writes"
_BUSY_SECONDS = 10
_MAX_LOG_BYTES = 64 * 1024 * 1024
_GROWING = ("events", "questions", "incidents")
_POINTER_BYTES = 4  # of a page of Postgres to each of its rows
# One number for all services, so that two of them do not write in one database.
_OWNER_LOCK = 0x4845524D4553
_EVENTS_LOCK = _OWNER_LOCK + 1
_UPGRADE_LOCK = _OWNER_LOCK + 2
REFUSED = "HF001"
"""What the guards of the record answer an owner whose time is over; see ``migrations``."""


class Database:
    """Connections for reading and for writing. Threads may share it.

    Args:
        url: of the database; see ``database_url``.
        reads_only: nothing can be written where its file lies.

    Attributes:
        name: what it is called in messages; without a password.
        replica_id: number of the one of several services that writes through it; None for one that is alone.

    Raises:
        StoreError: it cannot be opened, or is of a newer version.
        MissingPackageError: what speaks to Postgres is not installed.
    """

    def __init__(self, url: URL, *, reads_only: bool = False) -> None:
        self.name = str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # WAL lets readers go on while somebody writes; each takes a connection for one query
        try:
            self._engine = _engine(_unwritten(url) if reads_only else url)
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"a record in Postgres needs the package {error.name!r}; install it with: pip install "
                "'hermes-stream[server]'"
            ) from error
        self._owner: Connection | None = None
        self._owns: str | None = None
        self._owning = Lock()
        self.replica_id: int | None = None
        self._lease_seconds = 0.0
        if self.is_sqlite and not reads_only:
            _use_write_ahead_log(self._engine)
        try:
            if reads_only:
                self._check_readable()
                return
            with self.writing() as connection:
                if not self.is_sqlite:  # replicas begin together, and one makes the tables
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
                upgrade(connection)
        except (SQLAlchemyError, OSError) as error:
            self.close()
            raise StoreError(f"the record {self.name} cannot be opened: {_reason(error)}") from error
        except StoreError:
            self.close()
            raise

    def _check_readable(self) -> None:
        reason = "it is of another version of hermes-stream"
        try:
            with self._engine.connect() as connection:
                if is_newest(connection):
                    return
        except SQLAlchemyError as error:  # a log that nobody has folded in, since a service was killed
            reason = _reason(error)
        raise StoreError(
            f"the record {self.name} cannot be read where nothing may be written ({reason}); copy its folder "
            "to where it may"
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection that sees one state of the record.

        Raises:
            StoreError: the record cannot be read.
            ValueError: a value cannot be looked for, such as a text with NUL in Postgres.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except DataError as error:
            raise ValueError(f"that cannot be looked for in the record: {_reason(error)}") from error
        except SQLAlchemyError as error:
            raise StoreError(f"the record {self.name} cannot be read: {_reason(error)}") from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Lend a connection within a transaction, committed where the block ends well.

        Raises:
            SQLAlchemyError: as it comes; whoever writes may try again.
        """
        self._keep_others_out()
        with (
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            if self.replica_id is not None:
                # one after the other, until it is committed: ids of events are in the order of commits
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_EVENTS_LOCK}), {self._naming}")
            yield connection

    @contextmanager
    def placing(self) -> Iterator[Connection]:
        """Lend a connection for rows of streams and replicas alone: it waits for nobody's events.

        Raises:
            StoreError: the record cannot be written, or what was done is refused.
        """
        try:
            with self._engine.begin() as connection:
                if self.replica_id is not None:
                    connection.exec_driver_sql(f"SELECT {self._naming}")
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"the record {self.name} was not written: {_reason(error)}") from error

    def write_as(self, replica_id: int, *, lease_seconds: float) -> None:
        """From now on name the one of several services that writes.

        Args:
            replica_id: its number.
            lease_seconds: how long its transactions may stand still. The record ends those that stand longer:
                a process that was frozen within one would keep its locks, and stop all the others.
        """
        self.replica_id, self._lease_seconds = replica_id, lease_seconds

    @property
    def _naming(self) -> str:
        milliseconds = max(1, round(1000 * self._lease_seconds))
        return (
            f"set_config('hermes.replica', '{self.replica_id:d}', true), "
            f"set_config('idle_in_transaction_session_timeout', '{milliseconds}', true)"
        )

    def own(self, *, shared: bool = False) -> None:
        """Keep other services out of a shared database for as long as this one is open.

        Args:
            shared: let those in that share it, too.

        Raises:
            StoreError: another service has it, or it is none that can be shared.
        """
        if self.is_sqlite:  # the data folder has a lock of its own
            if shared:
                raise StoreError(
                    f"replicas cannot share {self.name}: one process at a time writes a SQLite file, and it "
                    "has no guard against a former owner; give --store postgresql://user@host/name"
                )
            return
        with self.reading() as _, self._owning:
            self._owns = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
            self._take_ownership()

    def _take_ownership(self) -> None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.exec_driver_sql(f"SELECT {self._owns}({_OWNER_LOCK})").scalar():
            self._owner = connection
            return
        connection.close()
        raise StoreError(
            f"another service writes to {self.name}; stop it, or give this one a database of its own"
        )

    def _keep_others_out(self) -> None:
        """Take the lock of its owner again where the server lost it: it does so when it starts again."""
        if self._owns is None:
            return
        with self._owning:
            if (owner := self._owner) is not None:
                try:
                    owner.exec_driver_sql("SELECT 1")
                    return
                except SQLAlchemyError:
                    self._owner = None
                    owner.close()
            try:
                self._take_ownership()
            except StoreError as error:  # of a service that began meanwhile: it may end, too
                raise OperationalError(None, None, error) from error

    @property
    def num_bytes(self) -> int:
        """Bytes that the record takes, without what a file keeps for later rows."""
        with self.reading() as connection:
            if not self.is_sqlite:
                size = "SELECT pg_database_size(current_database())"
                held = int(connection.exec_driver_sql(size).scalar() or 0)
                return held - sum(_num_free_bytes(connection, table) for table in _GROWING)
            pages, free, size_of_page = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (pages - free) * size_of_page

    def give_back_space(self) -> None:
        """Let the file shrink by what was deleted."""
        if not self.is_sqlite:
            return  # Postgres keeps it for later rows; to pack a table there would lock everybody out
        with self._engine.connect() as connection:
            sqlite: Any = connection.connection.driver_connection
            # it does a page a step and gives no rows: only a script takes all the steps
            sqlite.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")

    def close(self) -> None:
        """Close all connections; safe to repeat."""
        if self._owner is not None:
            self._owner.close()
            self._owner = None
        self._engine.dispose()


def _engine(url: URL) -> Engine:
    options: Any = {"pool_size": 8, "max_overflow": 56, "pool_timeout": 30, "pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        return create_engine(url, **options)
    from hermes_stream.service.postgres import WaitingPool, give_up_silent

    engine = create_engine(url, poolclass=WaitingPool, **options)
    give_up_silent(engine)
    return engine


def database_url(data_dir: Path, address: str | None = None) -> URL:
    """Return the address of a record.

    Args:
        data_dir: folder of the service, for the file that is used by default.
        address: of a Postgres database, ``postgresql://user:password@host/name``; None is SQLite.

    Raises:
        StoreError: the address is no address, or of another kind of database.
    """
    if address is None:
        return URL.create("sqlite", database=str(data_dir / "events.sqlite"))
    accepted = "accepted: postgresql://user:password@host/name, or nothing for SQLite in the data folder"
    try:
        url = make_url(address)
    except ArgumentError:
        # the text may hold a password, and is not shown
        raise StoreError(f"the address of the record cannot be read; {accepted}") from None
    if url.get_backend_name() != "postgresql":
        raise StoreError(f"the record cannot be kept in {url.get_backend_name()!r}; {accepted}")
    return url.set(drivername="postgresql+psycopg")


def _unwritten(url: URL) -> URL:
    """Return the address of a file where nothing can be written, as SQLite is to open it.

    Without its write-ahead log nobody writes to the file, and SQLite need not look for one; with it, it is
    read with what a service writes meanwhile.
    """
    is_closed = not Path(f"{url.database}-wal").exists()
    query = {"mode": "ro", "uri": "true", **({"immutable": "1"} if is_closed else {})}
    return url.set(database=Path(str(url.database)).absolute().as_uri(), query=query)


def _use_write_ahead_log(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # else pysqlite begins transactions by itself, and not before DDL
        cursor = connection.cursor()
        for pragma in (
            "auto_vacuum=INCREMENTAL",  # before the first table, or never
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_SECONDS * 1000}",
            f"journal_size_limit={_MAX_LOG_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a reader that became a writer could find that somebody else wrote meanwhile, and fail
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: Exception) -> str:
    """Return what the database said, without statement and values: those may hold what users wrote."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__


def _num_free_bytes(connection: Connection, table: str) -> int:
    """Return what a table of Postgres takes beyond its rows; its indexes are taken to be as full as it is."""
    size_and_share = f"""
        SELECT pg_total_relation_size('{table}'),
               (SELECT sum(pg_column_size(own.*) + {_POINTER_BYTES}) FROM {table} own)::float
               / greatest(1, pg_table_size('{table}'))
    """
    size, share = connection.exec_driver_sql(size_and_share).one()
    return int(size * max(0.0, 1.0 - (share or 0.0)))
