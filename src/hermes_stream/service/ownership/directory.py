"""Who has which stream, for programs that have none: the gateway, and whoever administers replicas."""

from __future__ import annotations

from pathlib import Path

from hermes_stream.errors import StoreError
from hermes_stream.service.database import Database, database_url
from hermes_stream.service.ownership.replica_rows import ReplicaRows

LEASE_SECONDS = 5.0
"""How long a replica has its streams after a sign of life, where nobody says otherwise."""


class Directory:
    """Reads the record that replicas share. Threads may share it.

    Args:
        address: of the Postgres database.
        lease_seconds: the same as that of the replicas.

    Attributes:
        replicas: rows of replicas, and whose streams are.

    Raises:
        StoreError: there is no such record, or it is none that replicas can share.
    """

    def __init__(self, address: str | None, *, lease_seconds: float = LEASE_SECONDS) -> None:
        if address is None or not address.startswith("postgresql"):
            raise StoreError(
                "replicas share a record in Postgres, which refuses what a former owner writes; SQLite is a "
                "file of one process: give --store postgresql://user@host/name"
            )
        self._database = Database(database_url(Path(), address))
        self.replicas = ReplicaRows(self._database, lease_seconds=lease_seconds)

    def close(self) -> None:
        """Close all connections; safe to repeat."""
        self._database.close()
