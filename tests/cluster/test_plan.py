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
