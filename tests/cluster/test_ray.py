"""Replicas on Ray Serve as programs of their own: killed, upgraded, without their head; streams go on."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hermes_lab.stress.cluster_kills import KilledCluster
from hermes_lab.stress.cluster_life import ClusterLife

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'hermes-stream[ray]'"),
]


def test_a_killed_replica_leaves_its_streams_to_others(postgres, tmp_path):
    numbers = KilledCluster(tmp_path, postgres(), num_streams=4, seed=0).run(1)
    assert numbers["is_right"], numbers


def test_a_cluster_that_is_deployed_survives_its_gateways_its_head_and_upgrades(postgres):
    with TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:  # sockets: a short path
        numbers = ClusterLife(Path(folder), postgres(), num_streams=2).run(("gateways", "head", "model"))
    assert numbers["is_right"], numbers
