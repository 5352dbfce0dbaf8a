"""Rows of replicas and of what each has: the record says whose a stream is, and nobody else does.

A replica that was not seen for ``lease_seconds``, by the record's own clock, has nothing any more. Whoever
takes a stream holds the rows of the stream and of its former owner meanwhile, so that the former owner's next
sign of life comes either before, and the stream stays its own, or behind, and tells it that it has lost it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import array_agg

from hermes_stream.errors import StoreError
from hermes_stream.service import tables
from hermes_stream.service.database import Database
from hermes_stream.service.ownership.placement import Load

ReplicaState = Literal["live", "draining"]
_FORGET_SECONDS = 600.0
_NOW = func.extract("epoch", func.clock_timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRow:
    """A replica as it is recorded.

    Attributes:
        id: its number, never given again.
        name: of the replica.
        address: where its server is, ``http://host:port``.
        model: that it runs.
        state: "draining" gives its streams away and takes none.
        num_streams: that it has.
        more_streams: that it can take.
        used_bytes: that their memories take.
        joined_wall_seconds: when it came.
        seen_wall_seconds: when it last gave a sign of life.
        is_alive: whether that is recent enough.
    """

    id: int
    name: str
    address: str
    model: str
    state: ReplicaState
    num_streams: int
    more_streams: int
    used_bytes: int
    joined_wall_seconds: float
    seen_wall_seconds: float
    is_alive: bool

    @property
    def load(self) -> Load:
        """What it carries."""
        return Load(
            id=self.id,
            num_streams=self.num_streams,
            more_streams=self.more_streams,
            used_bytes=self.used_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the record said when a replica gave its last sign of life.

    Attributes:
        state: of the replica.
        epochs: of its streams, by number.
        wanted: names of the replicas that are to have a stream of these, by number.
    """

    state: ReplicaState
    epochs: Mapping[int, int]
    wanted: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Streams that nobody has, as one replica sees them; the oldest first.

    Attributes:
        wanted: that are to go to this replica.
        free: that anybody may take.
    """

    wanted: tuple[int, ...]
    free: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who has a stream.

    Attributes:
        stream: name of the stream.
        state: of the stream's row.
        epoch: of the stream.
        replica: who has it; None where nobody alive does.
    """

    stream: str
    state: str
    epoch: int
    replica: ReplicaRow | None


class ReplicaRows:
    """Reads and writes them. Threads may share it.

    Args:
        database: Postgres, which several services share.
        lease_seconds: how long a replica has its streams after it was last seen.

    Attributes:
        lease_seconds: how long that is.
    """

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self._database, self.lease_seconds = database, lease_seconds

    def join(self, name: str, address: str, model: str) -> int:
        """Add a replica, and return its number; of the same name none may live.

        Raises:
            StoreError: one of that name lives.
        """
        table = tables.replicas
        with self._database.placing() as connection:
            former = connection.execute(self._all().where(table.c.name == name).with_for_update()).first()
            if former is not None and former.is_alive:
                raise StoreError(
                    f"a replica {name!r} lives at {former.address}; give another name, or wait "
                    f"{self.lease_seconds:g} s after its end"
                )
            if former is not None:
                _give_back(connection, tables.streams.c.replica_id == former.id)
            has_streams = select(tables.streams.c.id).where(tables.streams.c.replica_id == table.c.id)
            old = table.c.seen_wall_seconds < _NOW - _FORGET_SECONDS
            connection.execute(delete(table).where(or_(table.c.name == name, old & ~has_streams.exists())))
            made = connection.execute(
                insert(table).values(
                    name=name,
                    address=address,
                    model=model,
                    state="live",
                    num_streams=0,
                    more_streams=0,
                    used_bytes=0,
                    joined_wall_seconds=_NOW,
                    seen_wall_seconds=_NOW,
                )
            )
            key = made.inserted_primary_key
            assert key is not None
            return int(key[0])

    def beat(self, load: Load) -> Holding | None:
        """Give a sign of life; return what the replica has, or None where it is in the record no more."""
        table, columns = tables.replicas, tables.streams.c
        with self._database.placing() as connection:
            seen = update(table).where(table.c.id == load.id)
            state = connection.execute(
                seen.values(
                    seen_wall_seconds=_NOW,
                    num_streams=load.num_streams,
                    more_streams=load.more_streams,
                    used_bytes=load.used_bytes,
                ).returning(table.c.state)
            ).scalar()
            if state is None:
                return None
            # a statement of its own, behind the lock of the replica's row: who took a stream is seen
            held = connection.execute(
                select(columns.id, columns.epoch, columns.wanted_replica).where(columns.replica_id == load.id)
            ).all()
        return Holding(
            state=state,
            epochs={row.id: row.epoch for row in held},
            wanted={row.id: row.wanted_replica for row in held if row.wanted_replica is not None},
        )

    def leave(self, replica_id: int) -> None:
        """Take a replica out of the record; what it has is nobody's, and goes on at others."""
        with self._database.placing() as connection:
            _give_back(connection, tables.streams.c.replica_id == replica_id)
            connection.execute(delete(tables.replicas).where(tables.replicas.c.id == replica_id))

    def take(
        self, stream_ids: Sequence[int], replica_id: int, *, again: bool = False
    ) -> tuple[Row[Any], ...]:
        """Make open streams a replica's own, each with the next epoch; return the rows of those that it got.

        A stream is got where nobody has it, or whoever has it was not seen for so long that it knows that it
        has it no more.

        Args:
            stream_ids: numbers of streams.
            replica_id: of who takes them.
            again: those that are its own by the record as well: it has closed them.
        """
        columns, replicas = tables.streams.c, tables.replicas.c
        with self._database.placing() as connection:
            wanted = connection.execute(
                select(columns.id, columns.replica_id)
                .where(columns.id.in_(stream_ids), columns.state == "open")
                .with_for_update(skip_locked=True)
            ).all()
            owners = {row.replica_id for row in wanted if row.replica_id is not None}
            # locked, so that no sign of life comes between this look and the taking
            alive = connection.execute(
                select(replicas.id)
                .where(replicas.id.in_({*owners, replica_id}), self._is_alive)
                .with_for_update(read=True)
            ).scalars()
            living = set(alive)
            if replica_id not in living:
                return ()
            free = [
                row.id
                for row in wanted
                if row.replica_id not in living or (again and row.replica_id == replica_id)
            ]
            taken = update(tables.streams).where(columns.id.in_(free))
            taken = taken.values(replica_id=replica_id, wanted_replica=None, epoch=columns.epoch + 1)
            return tuple(connection.execute(taken.returning(tables.streams)).all())

    def release(self, stream_id: int, replica_id: int) -> None:
        """Give a stream back: it is open, and nobody's, until somebody takes it."""
        columns = tables.streams.c
        with self._database.placing() as connection:
            _give_back(connection, (columns.id == stream_id) & (columns.replica_id == replica_id))

    def orphans(self, name: str) -> Orphans:
        """Return the open streams that nobody alive has, but those that are to go to others.

        Args:
            name: of the replica that asks.
        """
        columns = tables.streams.c
        chosen = select(columns.id, columns.wanted_replica).where(columns.state == "open", self._is_unowned)
        with self._database.reading() as connection:
            found = connection.execute(chosen.order_by(columns.id)).all()
            living = select(tables.replicas.c.name).where(self._is_alive)
            others = set(connection.execute(living).scalars()) - {name} if found else set()
        return Orphans(
            wanted=tuple(row.id for row in found if row.wanted_replica == name),
            free=tuple(row.id for row in found if row.wanted_replica not in {name, *others}),
        )

    def all(self) -> tuple[ReplicaRow, ...]:
        """Return all replicas, in the order in which they came."""
        with self._database.reading() as connection:
            found = connection.execute(self._all().order_by(tables.replicas.c.id)).all()
        return tuple(ReplicaRow(**row._mapping) for row in found)

    def owner_of(self, stream: str) -> Owner | None:
        """Return who has a stream; None where there is no such stream."""
        columns = tables.streams.c
        with self._database.reading() as connection:
            row = connection.execute(
                select(columns.state, columns.epoch, columns.replica_id).where(columns.name == stream)
            ).first()
            if row is None:
                return None
            found = connection.execute(
                self._all().where(tables.replicas.c.id == row.replica_id, self._is_alive)
            ).first()
        replica = None if found is None else ReplicaRow(**found._mapping)
        return Owner(stream=stream, state=row.state, epoch=row.epoch, replica=replica)

    def unowned(self) -> tuple[str, ...]:
        """Return the names of open streams that nobody alive has."""
        columns = tables.streams.c
        chosen = select(columns.name).where(columns.state == "open", self._is_unowned).order_by(columns.id)
        with self._database.reading() as connection:
            return tuple(connection.execute(chosen).scalars())

    def streams_of(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of open streams by the replica that has them."""
        joined = tables.streams.join(tables.replicas, tables.replicas.c.id == tables.streams.c.replica_id)
        names = array_agg(tables.streams.c.name).label("streams")
        chosen = select(tables.replicas.c.name, names).select_from(joined).group_by(tables.replicas.c.name)
        with self._database.reading() as connection:
            found = connection.execute(chosen.where(tables.streams.c.state == "open")).all()
        return {row.name: tuple(sorted(row.streams)) for row in found}

    def ask_to_move(self, stream: str, replica: str) -> None:
        """Let a stream go to a replica: its owner saves it and gives it back, and that one takes it.

        Raises:
            StoreError: there is no such open stream, or no such replica that takes streams.
        """
        able = [one.name for one in self.all() if one.is_alive and one.state == "live"]
        if replica not in able:
            raise StoreError(
                f"there is no replica {replica!r} that takes streams; such are {', '.join(able)}"
            )
        columns = tables.streams.c
        moved = update(tables.streams).where(columns.name == stream, columns.state == "open")
        with self._database.placing() as connection:
            if not connection.execute(moved.values(wanted_replica=replica)).rowcount:
                raise StoreError(f"there is no open stream {stream!r}; 'hermes cluster status' names them")

    def set_state(self, replica: str, state: ReplicaState) -> None:
        """Let a replica give all its streams away, or take some again.

        Raises:
            StoreError: there is none of that name.
        """
        changed = update(tables.replicas).where(tables.replicas.c.name == replica).values(state=state)
        with self._database.placing() as connection:
            if not connection.execute(changed).rowcount:
                raise StoreError(f"there is no replica {replica!r}; 'hermes cluster status' names them")

    @property
    def _is_unowned(self) -> Any:
        """Whether nobody alive has a stream; read from the index, as those are few."""
        gone = select(tables.replicas.c.id).where(~self._is_alive)
        owner = tables.streams.c.replica_id
        return or_(owner.is_(None), owner.in_(gone))

    @property
    def _is_alive(self) -> Any:
        return tables.replicas.c.seen_wall_seconds > _NOW - self.lease_seconds

    def _all(self) -> Any:
        return select(tables.replicas, self._is_alive.label("is_alive"))


def _give_back(connection: Connection, which: Any) -> None:
    connection.execute(update(tables.streams).where(which).values(replica_id=None))
