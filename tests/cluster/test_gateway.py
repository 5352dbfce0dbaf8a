"""The gateway hands everything on to who has the stream, and tells the truth while nobody has."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import httpx
import pytest
from tests.service.test_service import QUESTION
from tests.waiting import until
from websockets.sync.client import connect

from hermes_stream.errors import HermesError
from hermes_stream.service.settings import WebhookSettings
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.video.jpeg import encode_jpeg

FEW = {"budget_tokens": 40, "chunk_frames": 4, "fps": 1.0}


def jpeg(k: int) -> bytes:
    import numpy as np

    return encode_jpeg(np.random.default_rng(k).integers(0, 256, (48, 48, 3), dtype=np.uint8))


def owners(client) -> dict[str, tuple[str, int]]:
    listed = {one.name: one.document for one in client.streams()}
    return {name: (one.get("replica"), one.get("epoch")) for name, one in listed.items()}


def test_all_replicas_are_one_service(cluster, client):
    with pytest.raises(HermesError, match="503"):
        client.health()
    cluster.begin("one"), cluster.begin("two")
    until(lambda: httpx.get(f"{cluster.url}/health").json()["num_replicas"] == 2)
    for name in ("a", "b"):
        client.open_stream(name, **FEW)
        until(lambda name=name: name in owners(client))
        time.sleep(1.5)  # so that the record knows who has fewest
    assert owners(client) == {"a": ("one", 1), "b": ("two", 1)}
    for name in ("a", "b"):
        for k in range(5):
            client.push(name, jpeg(k), float(k))
        assert client.ask(name, QUESTION, max_new_tokens=2).finish_reason in ("stop", "length")
        *pieces, whole = client.ask_in_pieces(name, QUESTION, max_new_tokens=2)
        assert "".join(pieces) == whole.text
    chat = {
        "model": httpx.get(f"{cluster.url}/v1/models").json()["data"][0]["id"],
        "max_tokens": 2,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "video_url", "video_url": {"url": "stream://b"}},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ],
    }
    answer = httpx.post(f"{cluster.url}/v1/chat/completions", json=chat, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    # an answer is given before it is in the record
    until(lambda: {one.stream for one in client.events(kind=["answered"])} == {"a", "b"})
    with connect(f"ws{cluster.url[4:]}/v1/streams/b/frames") as socket:
        socket.send((5_000_000).to_bytes(8, "little") + jpeg(5))
        assert json.loads(socket.recv(timeout=10))
    metrics = httpx.get(f"{cluster.url}/metrics").text
    assert 'replica="one"' in metrics
    assert 'replica="two"' in metrics
    assert httpx.get(f"{cluster.url}/v1/capacity").json()["num_streams"] == 2
    found = httpx.get(f"{cluster.url}/v1/streams/none").json()
    assert found["error"]["code"] == "not_found"
    shown = httpx.get(f"{cluster.url}/v1/cluster").json()
    assert [one["name"] for one in shown["replicas"]] == ["one", "two"]


def test_a_replica_dies_and_its_streams_answer_again(cluster, client):
    cluster.begin("one")
    client.open_stream("a", **FEW)
    for k in range(6):
        client.push("a", jpeg(k), float(k))
    client.ask("a", QUESTION, max_new_tokens=2)
    cluster.begin("two")
    time.sleep(2.0)
    assert owners(client) == {"a": ("one", 1)}, "a replica that joins moves nothing"
    cluster.die("one")
    refused = httpx.post(f"{cluster.url}/v1/streams/a/ask", json={"question": QUESTION}, timeout=30)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "try again" in refused.json()["error"]["message"]
    until(lambda: owners(client) == {"a": ("two", 2)}, seconds=40)
    assert client.ask("a", QUESTION, max_new_tokens=2).finish_reason in ("stop", "length")
    assert client.stream("a").document["num_frames"] == 6


@pytest.mark.long
def test_a_stream_moves_when_asked_and_a_replica_drains(cluster, client):
    cluster.begin("one")
    client.open_stream("a", **FEW)
    client.push("a", jpeg(0), 0.0)
    cluster.begin("two")
    until(lambda: len([one for one in cluster.rows.all() if one.is_alive]) == 2)
    cluster.rows.ask_to_move("a", "two")
    until(lambda: owners(client).get("a", [None])[0] == "two", seconds=40)
    cluster.rows.set_state("two", "draining")
    until(lambda: owners(client).get("a", [None])[0] == "one", seconds=40)
    assert client.stream("a").document["num_frames"] == 1


def test_what_settings_ask_of_a_stream_is_asked_by_the_replica_that_has_it(cluster, client):
    of_all = WatchSettings(name="door", question="is the door open now?")
    start = {"watches": (of_all,), "webhooks": (WebhookSettings(url="http://127.0.0.1:9/told"),)}
    cluster.plan = replace(cluster.plan, start=cluster.plan.start.model_copy(update=start))
    replica = cluster.begin("one")
    until(lambda: httpx.get(f"{cluster.url}/health").json()["num_replicas"] == 1)
    own = {"name": "cat", "question": "is there a cat now?"}
    replica.open_stream("a", {**FEW, "watches": [own]})
    until(lambda: "a" in owners(client))
    assert {one.name for one in client.watches("a")} >= {"door", "cat"}
    for _ in range(2):
        replica.tell_receivers()
        assert [one["url"] for one in client.webhooks()] == ["http://127.0.0.1:9/told"]
