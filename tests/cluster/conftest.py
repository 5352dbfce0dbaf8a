"""Replicas of one record in this process, each with its server, and a gateway before them."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from tests.service.conftest import postgres  # noqa: F401 - a fixture

from hermes_stream.client import Client
from hermes_stream.cluster.gateway import Gateway
from hermes_stream.cluster.listening import Listening
from hermes_stream.cluster.plan import Plan
from hermes_stream.cluster.replica import Replica
from hermes_stream.cluster.replica_finder import ReplicaFinder
from hermes_stream.server.cluster_settings import ClusterSettings
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service.ownership.directory import Directory
from hermes_stream.service.settings import ServiceSettings, StartSettings

LEASE_SECONDS = 3.0  # a machine that is busy with other tests is no reason to lose a stream


@contextmanager
def served(app):
    """Serve an application on a free port; yields its address."""
    listening = Listening(app, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.port}"
    finally:
        listening.close()


class Cluster:
    """Replicas that can be begun and killed, and the gateway's address."""

    def __init__(self, plan: Plan, url: str, directory: Directory) -> None:
        self.plan, self.url, self.rows = plan, url, directory.replicas
        self.replicas: dict[str, Replica] = {}

    def begin(self, name: str) -> Replica:
        self.replicas[name] = Replica(self.plan, name)
        return self.replicas[name]

    def die(self, name: str) -> None:
        """Leave everything as a killed process does: no sign of life, no server, nothing given back."""
        replica = self.replicas.pop(name)
        membership = replica.service._running._membership
        membership.stop()
        membership.drain = membership.leave = lambda: None
        for served in replica.service._running.registry.all():
            replica.service._running.registry.release(served, "killed", saves=False)
        replica.close()


@pytest.fixture
def cluster(postgres, checkpoint_folder, tmp_path):  # noqa: F811
    address = postgres()
    plan = Plan(
        start=StartSettings(model=str(checkpoint_folder), data_dir=tmp_path / "shared"),
        service=ServiceSettings(store=address, snapshot_every_seconds=60.0),
        server=ServerSettings(port=0),
        cluster=ClusterSettings(cluster=True, replicas="2", lease_seconds=LEASE_SECONDS),
    )
    assert Plan.read(plan.as_json()) == plan
    directory = Directory(address, lease_seconds=LEASE_SECONDS)
    with served(Gateway(ReplicaFinder(directory.replicas))) as url:
        found = Cluster(plan, url, directory)
        yield found
        for replica in found.replicas.values():
            replica.close()
    directory.close()


@pytest.fixture
def client(cluster):
    with Client(cluster.url) as client:
        yield client
