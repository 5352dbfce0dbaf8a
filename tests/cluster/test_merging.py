"""What all replicas say, as one answer."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hermes_stream.cluster.merging import merged_capacity, merged_metrics, merged_streams


def stream(name, state, epoch, replica):
    return {"name": name, "state": state, "epoch": epoch, "replica": replica}


def test_a_stream_that_moves_is_shown_once():
    first = {"data": [stream("a", "live", 1, "one"), stream("c", "closed", 4, None)]}
    second = {"data": [stream("a", "live", 2, "two"), stream("c", "closed", 4, None)]}
    found = merged_streams([first, second], ["b"], closed=True)["data"]
    assert [(one["name"], one["state"], one["replica"]) for one in found] == [
        ("a", "live", "two"),
        ("b", "waiting", None),
        ("c", "closed", None),
    ]
    assert [one["name"] for one in merged_streams([first], [], closed=False)["data"]] == ["a"]


def test_capacities_add_up():
    part = dict.fromkeys(("num_streams", "max_streams", "more_streams", "used_bytes"), 2)
    part |= {"memory_bytes": None, "num_open_questions": 1, "max_open_questions": 4}
    part |= {"limit": "max_streams is 2", "busy_share": 0.5, "stream_bytes": 7}
    whole = merged_capacity([("one", part), ("two", part)])
    assert (whole["num_streams"], whole["memory_bytes"], whole["stream_bytes"]) == (4, None, 7)
    assert [one["replica"] for one in whole["replicas"]] == ["one", "two"]


def test_metrics_are_labelled_with_their_replica():
    page = (
        "# HELP frames_total Frames.\n# TYPE frames_total counter\n"
        'frames_total{stream="a b}"} 3.0\n# HELP up Up.\n# TYPE up gauge\nup 1.0\n'
    )
    merged = merged_metrics([("one", page), ("two", page)])
    families = {one.name: one for one in text_string_to_metric_families(merged)}
    assert [sample.labels for sample in families["up"].samples] == [{"replica": "one"}, {"replica": "two"}]
    labels = families["frames"].samples[1].labels
    assert labels == {"stream": "a b}", "replica": "two"}
