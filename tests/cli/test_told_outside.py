"""The recipe of the world, served: a webhook's receiver and a broker hear of each event once."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from tests.cli.test_serving import start
from tests.service.broker import Broker, listening
from tests.service.receiver import receiving
from tests.waiting import until

from hermes_stream.client import Client
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video.jpeg import encode_jpeg

EVENTS = "hermes/streams/door/event"
TYPES = {"alert_raised": "incident.new", "alert_cleared": "incident.end"}


@pytest.fixture
def broker(tmp_path):
    one = Broker(tmp_path)
    one.start()
    yield one
    one.stop()


@pytest.mark.long
def test_each_event_of_the_world_is_told_once_to_a_webhook_and_to_a_broker(broker, tmp_path):
    with receiving() as receiver, listening(broker.port) as listener:
        settings = tmp_path / "settings.toml"
        settings.write_text(f'[streams.door]\n[[webhooks]]\nurl = "{receiver.url}"\n', encoding="utf-8")
        words = ("--recipe", "world", "--config", str(settings), "--mqtt", f"mqtt://127.0.0.1:{broker.port}")
        process, url = start(tmp_path, *words)
        try:
            with Client(url) as client:
                for frame in generate_world(5, 40).frames(fps=1.0):
                    client.push("door", encode_jpeg(frame.image), frame.pts_seconds)
                    until(lambda at=frame.pts_seconds: client.stream("door").folded_until_seconds == at, 60.0)
                until(lambda: is_over(client, 39.0), 60.0)
                recorded = told(client)
                number = len(recorded)
                until(lambda: len(receiver.messages) >= number and listener.count(EVENTS) >= number, 30.0)
                time.sleep(0.5)  # what would come twice
                assert told(client) == recorded
        finally:
            process.terminate()
            process.wait(30)
        sent = [json.loads(body) for _, body in receiver.messages]
        heard = [json.loads(payload) for topic, payload in listener.heard if topic == EVENTS]
    kinds = Counter(one.kind for one in recorded)
    assert kinds["alert_raised"] >= 2
    assert kinds["alert_cleared"] >= 1
    ids = Counter(one.id for one in recorded)
    assert Counter(one["data"]["id"] for one in sent) == Counter(one["id"] for one in heard) == ids
    alerts = Counter((one.kind, one.payload["incident"]) for one in recorded if one.kind in TYPES)
    assert set(alerts.values()) == {1}
    types = {name: kind for kind, name in TYPES.items()}
    by_webhook = [(types[one["type"]], one["data"]["incident_id"]) for one in sent if one["type"] in types]
    by_broker = [(one["event_type"], one["incident"]) for one in heard if one["event_type"] in TYPES]
    assert Counter(by_webhook) == Counter(by_broker) == alerts
    assert {one["data"]["verdict"] for one in sent if one["type"] in types} == {"yes", "no"}


def told(client):
    return client.events(kind=list(WATCH_KINDS), limit=1000)


def is_over(client, seconds):
    """Tell whether all was looked at, and each incident has its update, which comes last."""
    looks = [one.document["stats"]["stream_seconds"] for one in client.watches("door")]
    return set(looks) == {seconds} and all(one.num_updates for one in client.incidents())
