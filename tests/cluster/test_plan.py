"""What a cluster tells its replicas: what was chosen, and no more."""

from __future__ import annotations

from hermes_stream.cluster.plan import Plan
from hermes_stream.server.cluster_settings import ClusterSettings
from hermes_stream.server.settings import ServerSettings
from hermes_stream.service.settings import ServiceSettings, StartSettings


def test_a_replica_knows_what_was_given_and_what_was_not():
    plan = Plan(
        start=StartSettings(model="tiny"),
        service=ServiceSettings(fps=2.0),
        server=ServerSettings(),
        cluster=ClusterSettings(cluster=True),
    )
    # where chunk_frames was not given, watches shorten chunks
    assert Plan.read(plan.as_json()).service.model_fields_set == {"fps"}


def plan_of(*, store: str | None = "postgresql://user@host/name", **server) -> Plan:
    return Plan(
        start=StartSettings(model="tiny", streams={"door": {"source": "rtsp://me:secret@10.0.0.1/a"}}),
        service=ServiceSettings(store=store),
        server=ServerSettings(**server),
        cluster=ClusterSettings(cluster=True),
    )


def test_what_a_cluster_cannot_have_is_said(tmp_path):
    certificate = {"tls_cert": tmp_path / "a.pem", "tls_key": tmp_path / "b.pem"}
    assert plan_of().faults() == ()
    for fault, plan in (
        ("store: ", plan_of(store=None)),
        ("store: ", plan_of(store="sqlite:///a.sqlite")),
        ("tls_cert, ", plan_of(tls_self_signed=True)),
        ("tls_cert, ", plan_of(**certificate)),
    ):
        (found,) = plan.faults()
        assert found.startswith(fault)


def test_passwords_of_cameras_do_not_travel():
    assert "secret" not in str(plan_of().as_json())


def test_a_replica_asks_for_keys_as_the_gateway_does():
    for given, needs_keys in (
        ({"host": "0.0.0.0", "port": 80}, True),
        ({"host": "127.0.0.1"}, False),
        ({"host": "127.0.0.1", "require_keys": True}, True),
        ({"host": "0.0.0.0", "no_auth": True}, False),
    ):
        for host in ("127.0.0.1", "10.0.0.7"):
            own = plan_of(**given).replica_server(host)
            assert (own.host, own.port) == (host, 0)
            if host == "127.0.0.1" or "no_auth" in given or needs_keys:
                assert own.needs_keys == needs_keys
