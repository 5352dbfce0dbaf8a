"""Replicas on Ray Serve as programs of their own: one is killed, and its streams answer again."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from hermes_lab.stress.cluster_kills import KilledCluster

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'hermes-stream[ray]'"),
]


def test_a_killed_replica_leaves_its_streams_to_others(postgres, tmp_path):
    numbers = KilledCluster(tmp_path, postgres(), num_streams=4, seed=0).run(1)
    assert numbers["is_right"], numbers
