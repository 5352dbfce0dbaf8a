"""What a cluster runs: all settings as JSON values, which travel to each replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hermes_stream.server.cluster_settings import ClusterSettings
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service.settings import ServiceSettings, StartSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The same settings as of a service that is alone, and how many run.

    Attributes:
        start: model, threads, data folder, streams.
        service: options of each replica.
        server: options of the gateway's address; who may come in.
        cluster: how many.
    """

    start: StartSettings
    service: ServiceSettings
    server: ServerSettings
    cluster: ClusterSettings

    def faults(self) -> tuple[str, ...]:
        """Return what cannot be, in words."""
        found = []
        if self.service.store is None or not self.service.store.startswith("postgresql"):
            found.append(
                "store: replicas share a record in Postgres, which refuses what a former owner of a stream "
                "writes; a SQLite file cannot: give postgresql://user@host/name"
            )
        if self.server.tls_self_signed or self.server.tls_cert is not None:
            found.append("tls_cert, tls_self_signed: the gateway speaks HTTP; put a proxy with TLS before it")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; streams are not among them, as their addresses may hold passwords."""
        return {
            "start": self.start.model_dump(mode="json", exclude={"streams"}),
            "service": self.service.model_dump(mode="json", exclude_unset=True),
            "server": self.server.model_dump(mode="json"),
            "cluster": self.cluster.model_dump(mode="json"),
        }

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Plan:
        """Return what was JSON values."""
        return cls(
            start=StartSettings.model_validate(values["start"]),
            service=ServiceSettings.model_validate(values["service"]),
            server=ServerSettings.model_validate(values["server"]),
            cluster=ClusterSettings.model_validate(values["cluster"]),
        )

    def replica_server(self, host: str) -> ServerSettings:
        """Return the options of a replica's own server, which the gateway speaks with.

        Args:
            host: that the replica listens at.
        """
        own = {"host": host, "port": 0, "require_keys": self.server.needs_keys, "no_auth": False}
        if self.server.no_auth:
            own |= {"require_keys": False, "no_auth": True}
        return self.server.model_copy(update=own)
