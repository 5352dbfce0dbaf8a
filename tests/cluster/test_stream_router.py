"""Which replica Ray Serve's calls go to."""

from __future__ import annotations

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, of pydantic
    pytest.importorskip("ray", reason="needs Ray: pip install 'hermes-stream[ray]'")
    from hermes_stream.cluster.stream_router import rank, stream_of

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
