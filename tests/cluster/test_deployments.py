"""How many replicas are wanted, and what is refused before Ray is asked for anything."""

from __future__ import annotations

import socket
import warnings
from types import SimpleNamespace

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, of pydantic
    pytest.importorskip("ray", reason="needs Ray: pip install 'hermes-stream[ray]'")
    from hermes_stream.cluster.deployments import loads_of, replicas_wanted
    from hermes_stream.cluster.plan import Plan
    from hermes_stream.cluster.running import deploy, local_cluster
from hermes_stream.errors import SettingsError
from hermes_stream.server.cluster_settings import ClusterSettings
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service.settings import ServiceSettings, StartSettings


def series(*values: float) -> list[SimpleNamespace]:
    return [SimpleNamespace(value=value) for value in values]


def context(said: dict[str, tuple[int, int]], running: list[str], most: int = 8) -> SimpleNamespace:
    """What Ray tells a policy: replicas that run, and what those that said something did."""
    metrics = {
        "num_streams": {name: series(99, streams) for name, (streams, _) in said.items()},
        "more_streams": {name: series(99, more) for name, (_, more) in said.items()},
    }
    return SimpleNamespace(
        raw_metrics=metrics,
        running_replicas=running,
        current_num_replicas=len(running),
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=most,
    )


def wanted(said: dict[str, tuple[int, int]], running: list[str] | None = None, most: int = 8) -> int:
    return replicas_wanted(context(said, list(said) if running is None else running, most))[0]


def test_what_a_replica_said_last_counts():
    loads = loads_of(context({"a": (3, 1), "gone": (4, 0)}, ["a", "new"]).raw_metrics, ["a", "new"])
    assert [(one.num_streams, one.more_streams) for one in loads] == [(3, 1)]
    assert loads_of({}, ["a"]) == []


def test_replicas_follow_the_streams():
    assert wanted({"a": (3, 1)}) == 1
    assert wanted({"a": (4, 0)}) == 2, "one comes before the next stream would be refused"
    assert wanted({"a": (4, 0), "b": (3, 1)}) == 3
    assert wanted({"a": (4, 0), "b": (4, 0)}, most=2) == 2
    assert wanted({"a": (1, 3), "b": (0, 4), "c": (1, 3)}) == 1
    assert wanted({"a": (0, 0)}) == 1, "it can take nothing, and nothing is there"


def test_one_that_came_just_now_does_not_go_for_saying_nothing():
    assert wanted({"a": (3, 1)}, ["a", "new"]) == 2
    assert wanted({}, ["a", "b"]) == 2


def plan(**given) -> Plan:
    server = {name: given.pop(name) for name in ("host", "port") if name in given}
    return Plan(
        start=StartSettings(),
        service=ServiceSettings(store="postgresql://nobody@/none"),
        server=ServerSettings(**{"port": 0, **server}),
        cluster=ClusterSettings(cluster=True, replicas="1", **given),
    )


def test_a_cluster_that_is_not_there_is_said_and_where_it_was_looked_for(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"no Ray cluster at '127.0.0.1:2'.*--address HOST:6379"):
        deploy(plan(ray_address="127.0.0.1:3"), address="127.0.0.1:2", on_trouble=print)
    with pytest.raises(SettingsError, match=r"no Ray cluster at '127.0.0.1:3'"):
        deploy(plan(ray_address="127.0.0.1:3"), on_trouble=print)


def test_a_port_that_another_program_has_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match="is taken"), local_cluster(plan(port=port), on_trouble=print):
            pass
