"""What is open when its key is revoked ends, with the reason where one can still be told."""

from __future__ import annotations

import base64
import json
import threading
import time

import pytest
from tests.server.served import jpeg, listening, serving
from tests.waiting import until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hermes_stream.server import ServerSettings, app
from hermes_stream.service import Service

WITHIN_SECONDS = 5.0


@pytest.fixture(scope="module")
def guarded(tiny, tmp_path_factory):
    settings = ServerSettings(port=0, require_keys=True)
    with Service(tiny, tmp_path_factory.mktemp("guarded")) as service, listening(service, settings) as one:
        service.open_stream("door")
        yield one


@pytest.fixture
def key(guarded):
    """A key, as a header, and what revokes it."""
    secret, record = guarded.service.keys.create("short", ["read", "ask"])
    return {"Authorization": f"Bearer {secret}"}, lambda: guarded.service.keys.revoke(record.id)


def test_an_event_stream_ends_with_the_reason(guarded, key):
    header, revoke = key
    with guarded.http.stream("GET", "/v1/events", headers={**header, "Accept": "text/event-stream"}) as sent:
        lines = sent.iter_lines()
        assert next(lines).startswith("id: ")
        revoke()
        began = time.monotonic()
        rest = [line for line in lines if line]
    assert time.monotonic() - began < WITHIN_SECONDS
    assert rest[-2] == "event: error"
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "wrong_key"


@pytest.mark.parametrize("path", ["/v1/streams/door/preview", "/v1/streams/door/frames", "/v1/realtime"])
def test_a_websocket_is_closed_with_the_reason(guarded, key, path):
    header, revoke = key
    with connect(guarded.ws + path, additional_headers=header) as socket:
        if path.endswith("realtime"):
            assert json.loads(socket.recv())["type"] == "session.created"
        revoke()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=WITHIN_SECONDS)
    assert closed.value.rcvd.code == 1008
    assert "revoked" in closed.value.rcvd.reason


def test_a_websocket_that_was_opened_with_a_token_ends_with_its_key(guarded, key):
    header, revoke = key
    token = guarded.http.post("/v1/websocket-token", headers=header).json()["token"]
    with connect(f"{guarded.ws}/v1/streams/door/preview?token={token}") as socket:
        revoke()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=WITHIN_SECONDS)


def test_other_keys_and_what_is_over_are_left_alone(guarded, key):
    header, revoke = key
    secret, _ = guarded.service.keys.create("other", ["read", "ask"])
    other = {"Authorization": f"Bearer {secret}"}
    assert guarded.http.get("/v1/streams", headers=header).status_code == 200
    with connect(guarded.ws + "/v1/streams/door/frames", additional_headers=other) as socket:
        revoke()
        time.sleep(1.5)
        socket.send(b"\0" * 8 + jpeg())
        assert json.loads(socket.recv(timeout=WITHIN_SECONDS))["num_accepted"] == 1


def test_nothing_is_left_of_what_has_ended(guarded, key):
    header, revoke = key
    standing = guarded.server.app.state.hermes.standing
    before = threading.active_count()
    with connect(guarded.ws + "/v1/realtime", additional_headers=header) as socket:
        socket.recv()
        revoke()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=WITHIN_SECONDS)
    assert not standing._open
    assert threading.active_count() <= before + 2


def test_a_request_that_came_during_a_look_is_not_taken_for_one_of_a_revoked_key(guarded, monkeypatch):
    keys, looks = guarded.service.keys, threading.Semaphore(0)
    good = keys.good

    def slow(numbers):
        found = good(numbers)
        looks.release()
        time.sleep(1.0)  # of a record far away
        return found

    secrets = [keys.create(name, ["read", "ask"])[0] for name in ("first", "second")]
    first, second = ({"Authorization": f"Bearer {secret}"} for secret in secrets)
    with guarded.http.stream("GET", "/v1/events", headers={**first, "Accept": "text/event-stream"}) as sent:
        lines = sent.iter_lines()
        assert next(lines).startswith("id: ")
        monkeypatch.setattr(keys, "good", slow)
        assert looks.acquire(timeout=WITHIN_SECONDS)
        monkeypatch.setattr(keys, "good", good)
        with connect(guarded.ws + "/v1/streams/door/frames", additional_headers=second) as socket:
            time.sleep(2.0)
            socket.send(b"\0" * 8 + jpeg())
            assert "num_accepted" in json.loads(socket.recv(timeout=WITHIN_SECONDS))


def test_the_stream_of_a_session_that_ends_while_it_opens_lasts_a_while(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "_SWEEP_SECONDS", 0.05)
    with serving(tmp_path, ServerSettings(port=0, require_keys=True), model=tiny) as one:
        secret, record = one.service.keys.create("short", ["read", "ask", "watch"])
        open_stream, opens = one.service.open_stream, threading.Event()
        monkeypatch.setattr(one.service, "open_stream", lambda *a, **b: opens.wait() and open_stream(*a, **b))
        leases = one.server.app.state.hermes.leases
        with connect(
            f"{one.ws}/v1/realtime", additional_headers={"Authorization": f"Bearer {secret}"}
        ) as socket:
            socket.recv()
            url = f"data:image/jpeg;base64,{base64.b64encode(jpeg()).decode()}"
            item = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}
            socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            one.service.keys.revoke(record.id)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=WITHIN_SECONDS)
        opens.set()
        (stream,) = until(one.service.streams)
        until(lambda: stream.name in leases._ends)
