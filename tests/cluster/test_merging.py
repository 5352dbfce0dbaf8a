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


def shown(listings, unowned=(), *, closed=True):
    found = merged_streams([{"data": one} for one in listings], unowned, closed=closed)["data"]
    return [(one["name"], one["state"], one["replica"]) for one in found]


def test_a_stream_that_somebody_has_is_neither_closed_nor_on_its_way():
    live, closed = stream("a", "live", 1, "one"), stream("a", "closed", 9, None)
    assert shown([[live], [closed]]) == shown([[closed], [live]]) == [("a", "live", "one")]
    assert shown([[live]], ["a"]) == [("a", "live", "one")]
    assert shown([[closed]], ["a"]) == [("a", "waiting", None)]


def test_a_cluster_is_as_busy_as_its_busiest_replica_and_may_be_empty():
    part = dict.fromkeys(("num_streams", "max_streams", "more_streams", "used_bytes", "memory_bytes"), 1)
    part |= {"num_open_questions": 1, "max_open_questions": 4, "limit": "x"}
    parts = [(name, part | {"busy_share": share}) for name, share in (("one", 0.5), ("two", 0.75))]
    assert merged_capacity(parts)["busy_share"] == 0.75
    empty = merged_capacity([])
    assert (empty["num_streams"], empty["busy_share"], empty["replicas"]) == (0, 0.0, [])


def test_metrics_of_one_family_stand_together_below_its_heading():
    page = (
        "# HELP t_seconds Time.\n# TYPE t_seconds histogram\n"
        't_seconds_bucket{le="+Inf"} 1.0\nt_seconds_count 1.0\n# HELP up Up.\n# TYPE up gauge\nup 1.0\n'
    )
    merged = merged_metrics([("one", page), ("two", page)]).splitlines()
    names = [line.split("{")[0] for line in merged if not line.startswith("#")]
    assert names == ["t_seconds_bucket", "t_seconds_count"] * 2 + ["up"] * 2
    assert len([line for line in merged if line.startswith("#")]) == 4
    assert 'up{replica="two"} 1.0' in merged
