"""Which replica Ray Serve's calls go to."""

from __future__ import annotations

import asyncio
import time
import warnings
from types import SimpleNamespace

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, of pydantic
    pytest.importorskip("ray", reason="needs Ray: pip install 'hermes-stream[ray]'")
    from hermes_stream.cluster.stream_router import StreamRouter, rank, stream_of

STATS = [
    {"streams": ["a"], "num_streams": 1, "more_streams": 5},
    {"streams": [], "num_streams": 0, "more_streams": 5},
    {"streams": ["b", "c"], "num_streams": 2, "more_streams": 0},
    {},
]


def test_who_has_the_stream_comes_first_then_who_has_fewest():
    assert rank(STATS, "a") == [[0], [1, 3], [2]]
    assert rank(STATS, "b") == [[2], [1, 3], [0]], "also where it is full"
    assert rank(STATS, "new") == [[1, 3], [0], [2]]


def test_a_call_names_its_stream_first():
    assert stream_of(("a", {}), {}) == "a"
    assert stream_of((), {"stream": "b"}) == "b"
    assert stream_of((3,), {}) is None


def test_who_was_sent_a_stream_a_moment_ago_has_it_already(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    router = object.__new__(StreamRouter)
    router.initialize_state()
    replicas = [
        SimpleNamespace(replica_id=name, routing_stats={"num_streams": 1, "more_streams": 5, "streams": []})
        for name in ("one", "two")
    ]

    def chosen() -> list[list[str]]:
        ranks = asyncio.run(router.choose_replicas(replicas, SimpleNamespace(args=("new",), kwargs={})))
        return [[one.replica_id for one in rank] for rank in ranks]

    assert chosen() == [["one", "two"]]
    router.on_request_routed(SimpleNamespace(args=(3,), kwargs={}), "two", None)
    assert chosen() == [["one", "two"]], "that call was about no stream"
    router.on_request_routed(SimpleNamespace(args=("a",), kwargs={}), "one", None)
    assert chosen() == [["two"], ["one"]]
    now[0] += 2.5
    assert chosen() == [["one", "two"]], "its stats say so by now"
