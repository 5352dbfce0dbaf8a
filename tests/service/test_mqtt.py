"""MQTT with Home Assistant's discovery: what a broker is told, each event once, also when it comes back."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress

import aiomqtt
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.checkpoints import random_frames
from tests.service.broker import Broker, listening
from tests.service.test_standing import FEW, SURE, push
from tests.waiting import until

from hermes_stream.errors import SettingsError
from hermes_stream.server.metrics import Metrics
from hermes_stream.service import mqtt_bridge
from hermes_stream.service.mqtt_bridge import broker_of

BASE = "hermes/streams/door"


@pytest.fixture
def broker(tmp_path):
    one = Broker(tmp_path)
    one.start()
    yield one
    one.stop()


def configs(listener):
    told = {topic: payload for topic, payload in listener.heard if topic.endswith("/config")}
    return {topic.split("/")[1]: json.loads(payload) for topic, payload in told.items() if payload}


def counted(service):
    text = Metrics(service).text().decode()
    families = text_string_to_metric_families(text)
    return {one.name: one.value for family in families for one in family.samples if not one.labels}


def test_home_assistant_finds_a_stream_hears_its_events_and_commands_it(serve, broker, tmp_path):
    service = serve(mqtt=f"mqtt://127.0.0.1:{broker.port}")
    with listening(broker.port) as listener:
        service.open_stream("door", **FEW)
        watch = service.watches.add("door", "is a person there?", name="person", **SURE)
        push(service, "door", random_frames(3))
        state = f"{BASE}/watches/{watch.id}/state"
        until(lambda: listener.last(state) == b"ON")
        until(lambda: listener.last(f"{BASE}/picture"))
        assert listener.last("hermes/availability") == b"online"
        assert listener.last(f"{BASE}/availability") == b"online"
        found = configs(listener)
        assert set(found) == {"binary_sensor", "event", "image", "number", "sensor", "switch"}
        assert len({one["device"]["identifiers"][0] for one in found.values()}) == 1
        assert found["binary_sensor"]["state_topic"] == state
        assert found["binary_sensor"]["name"] == "person"
        assert found["binary_sensor"]["availability"][0] == {"topic": "hermes/availability"}
        assert listener.last(f"{BASE}/picture")[:2] == b"\xff\xd8"
        event = json.loads(listener.last(f"{BASE}/event"))
        assert (event["event_type"], event["name"]) == ("alert_raised", "person")
        assert event["event_type"] in found["event"]["event_types"]
        assert service.ask("door", "what is it?", max_new_tokens=2).text is not None
        until(lambda: listener.last(f"{BASE}/answer") is not None)

        listener.say(f"{BASE}/watches/{watch.id}/snooze/set", "5")
        until(lambda: listener.last(f"{BASE}/watches/{watch.id}/snooze") == b"5")
        listener.say(f"{BASE}/watches/{watch.id}/on/set", "OFF")
        until(lambda: listener.last(f"{BASE}/watches/{watch.id}/on") == b"OFF")
        assert service.watches.show("door", watch.id).settings.is_on is False
        listener.say(f"{BASE}/watches/99/on/set", "ON")  # nobody's, and does no harm
        listener.say(f"{BASE}/watches/{watch.id}/snooze/set", "soon")

        before = listener.count(f"{BASE}/availability")
        listener.say("homeassistant/status", "online")
        until(lambda: listener.count(f"{BASE}/availability") > before)

        topic = found["binary_sensor"]["unique_id"]
        service.watches.remove("door", "person")
        until(lambda: listener.last(f"homeassistant/binary_sensor/{topic}/config") == b"")
        kinds = [json.loads(text)["event_type"] for topic, text in listener.heard if topic == f"{BASE}/event"]
        assert kinds.count("alert_raised") == 1
        service.close(drain_seconds=0)
        until(lambda: listener.last("hermes/availability") == b"offline")


def test_what_a_deleted_stream_showed_is_not_told_of_another_of_its_name(serve, broker):
    service = serve(mqtt=f"mqtt://127.0.0.1:{broker.port}")
    with listening(broker.port) as listener:
        service.open_stream("door", **FEW)
        push(service, "door", random_frames(2))
        assert service.ask("door", "what is it?", max_new_tokens=2).text is not None
        until(lambda: listener.last(f"{BASE}/answer"))
        service.close_stream("door", delete=True)
        until(lambda: listener.last(f"{BASE}/answer") == b"")
        service.open_stream("door", **FEW)
        until(lambda: listener.last(f"{BASE}/state"))
        service.open_stream("side", **FEW)
        until(lambda: listener.last("hermes/streams/side/state"))  # all was told again
        assert not listener.last(f"{BASE}/answer")


def test_a_broker_that_comes_back_is_told_all_again_and_each_event_once(serve, broker, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.mqtt_bridge._FIRST_PAUSE_SECONDS", 0.1)
    service = serve(mqtt=f"mqtt://127.0.0.1:{broker.port}")
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", name="a", **SURE)
    with listening(broker.port) as listener:
        push(service, "door", random_frames(2))
        until(lambda: listener.last(f"{BASE}/event"))
    assert counted(service)["hermes_mqtt_connected"] == 1
    until(lambda: counted(service)["hermes_mqtt_published_total"] >= 10)
    published = counted(service)["hermes_mqtt_published_total"]
    assert counted(service)["hermes_mqtt_failed_total"] == 0
    broker.stop()
    until(lambda: counted(service)["hermes_mqtt_failed_total"] > 0)
    assert counted(service)["hermes_mqtt_connected"] == 0
    began = time.monotonic()
    service.watches.change("door", "a", {"is_on": False})  # ends its incident while nobody listens
    assert time.monotonic() - began < 5
    broker.start()
    with listening(broker.port) as listener:
        until(lambda: listener.last("hermes/availability") == b"online")
        until(lambda: listener.last(f"{BASE}/event"))
        assert json.loads(listener.last(f"{BASE}/event"))["event_type"] == "alert_cleared"
        until(lambda: "binary_sensor" in configs(listener))
        assert listener.count(f"{BASE}/event") == 1
    assert counted(service)["hermes_mqtt_connected"] == 1
    assert counted(service)["hermes_mqtt_published_total"] > published
    service.close(drain_seconds=0)
    with listening(broker.port) as listener:
        again = serve(mqtt=f"mqtt://127.0.0.1:{broker.port}")
        until(lambda: listener.last(f"{BASE}/watches/1/on") == b"OFF")
        time.sleep(0.3)
        assert listener.count(f"{BASE}/event") == 0  # nothing is announced again
        again.close(drain_seconds=0)


def test_the_last_will_says_that_the_service_is_gone(serve, tmp_path):
    broker = Broker(tmp_path, user="house", password="planted@secret")
    broker.start()
    try:
        address = f"mqtt://house:planted%40secret@127.0.0.1:{broker.port}"
        service = serve(mqtt=address)
        bridge = service._running.mqtt
        until(lambda: bridge.is_connected)

        async def die():
            with suppress(aiomqtt.MqttError):
                async with bridge._client() as client:
                    client._client.socket().shutdown(socket.SHUT_RDWR)
                    await asyncio.wait([client._disconnected], timeout=5)
                    client._disconnected.exception()

        with listening(broker.port, user="house", password="planted@secret") as listener:
            until(lambda: listener.last("hermes/availability") == b"online")
            asyncio.run(die())
            until(lambda: (b"offline") in [text for _, text in listener.heard])
        assert "planted" not in repr(service.events())
        service.close(drain_seconds=0)
    finally:
        broker.stop()


def test_what_cannot_be_told_once_ends_no_bridge(serve, broker, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.mqtt_bridge._FIRST_PAUSE_SECONDS", 0.05)
    own, failing = mqtt_bridge.event_payload, [KeyError("name")]

    def event_payload(event):
        if failing:
            raise failing.pop()
        return own(event)

    monkeypatch.setattr(mqtt_bridge, "event_payload", event_payload)
    service = serve(mqtt=f"mqtt://127.0.0.1:{broker.port}")
    service.open_stream("door", **FEW)
    service.watches.add("door", "is it?", name="a", **SURE)
    with listening(broker.port) as listener:
        push(service, "door", random_frames(2))
        until(lambda: listener.last(f"{BASE}/event"))


def test_an_address_that_is_none_is_refused_without_its_password():
    for wrong in (
        "127.0.0.1",
        "http://a:planted@b",
        "mqtt://a:planted@b:port",
        "mqtt://",
        "mqtt://a:planted@b..c",
    ):
        with pytest.raises(SettingsError, match="mqtt must be") as told:
            broker_of(wrong)
        assert "planted" not in str(told.value)
