"""Standing questions over HTTP: watches, what they open, who is told."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.server.served import jpeg, serving
from tests.service.receiver import endless, receiving
from tests.waiting import until

from hermes_stream.client import AsyncClient, Client
from hermes_stream.errors import UnknownWatchError, UnknownWebhookError, WatchExistsError
from hermes_stream.server import ServerSettings

SURE = {"raise_at": 1e-9, "clear_at": 0.0}


def push(served, name, first, last):
    for second in range(first, last):
        content = {"content": jpeg(second), "headers": {"Content-Type": "image/jpeg"}}
        served.http.post(f"/v1/streams/{name}/frames?pts_us={second}000000", **content).raise_for_status()
        until(lambda second=second: served.service.stream(name).folded_until_seconds == second)


@pytest.fixture(scope="module")
def watched(served):
    served.open_watched("door", num_frames=1, chunk_frames=1, fps=1.0, budget_tokens=200)
    made = served.http.post(
        "/v1/streams/door/watches", json={"question": "is a person there?", "name": "person at/1"}
    )
    assert made.status_code == 422, made.text
    body = {"question": "is a person there?", "name": "a person", "severity": "alarm", **SURE}
    made = served.http.post("/v1/streams/door/watches", json=body)
    assert made.status_code == 201, made.text
    push(served, "door", 1, 4)
    return served


def test_a_watch_is_made_shown_changed_and_silenced(watched):
    http = watched.http
    (listed,) = http.get("/v1/streams/door/watches").json()["data"]
    assert (listed["name"], listed["kind"], listed["clear_at"]) == ("a person", "alert", 0.0)
    shown = until(lambda: _asked(http, 4))
    assert shown["state"]["value"] == "yes"
    assert shown["state"]["since_seconds"] == 0.0
    assert http.get(f"/v1/streams/door/watches/{listed['id']}").json()["id"] == listed["id"]
    again = http.post("/v1/streams/door/watches", json=_made(shown))
    assert (again.status_code, again.json()["id"]) == (201, listed["id"])
    other = http.post("/v1/streams/door/watches", json=_made(shown) | {"question": "is it?"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "watch_exists")
    changed = http.patch("/v1/streams/door/watches/a person", json={"cooldown_seconds": 3})
    assert changed.json()["cooldown_seconds"] == 3
    assert changed.json()["state"]["value"] == "yes"
    wrong = http.patch("/v1/streams/door/watches/a person", json={"colour": "red"})
    assert (wrong.status_code, "colour" in wrong.json()["error"]["message"]) == (400, True)
    snoozed = http.post("/v1/streams/door/watches/a person/snooze", json={"seconds": 10})
    assert snoozed.json()["state"]["snoozed_until_seconds"] == 13.0
    scores = http.get("/v1/streams/door/watches/a person/scores", params={"from": 1, "to": 2}).json()
    assert [one[0] for one in scores["scores"]] == [1.0, 2.0]
    missing = http.get("/v1/streams/door/watches/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "watch_not_found")


def _asked(http, count):
    shown = http.get("/v1/streams/door/watches/a person").json()
    return shown if shown["stats"]["num_asked"] >= count else None


def _made(shown):
    wanted = ("question", "name", "severity", "raise_at", "clear_at")
    return {name: shown[name] for name in wanted}


def test_words_that_the_model_does_not_know_are_warned_of(served):
    served.open_watched("words", num_frames=0, fps=1.0, budget_tokens=200)
    made = served.http.post("/v1/streams/words/watches", json={"question": "is a person at the door?"})
    warning = "'person' and 'door' are no words that tiny knows"
    assert (made.status_code, made.json()["warnings"]) == (201, [warning])
    known = {"question": "is there a red circle now?", "onset": "did a red giraffe come?"}
    made = served.http.post("/v1/streams/words/watches", json=known)
    assert made.json()["warnings"] == ["'giraffe' is no word that tiny knows"]
    changed = served.http.patch(f"/v1/streams/words/watches/{made.json()['id']}", json={"onset": None})
    assert (changed.status_code, changed.json()["warnings"]) == (200, [])
    listed = served.http.get("/v1/streams/words/watches").json()["data"]
    assert [one["warnings"] for one in listed] == [[warning], []]
    served.http.delete("/v1/streams/words", params={"delete": True}).raise_for_status()


def test_an_incident_is_listed_reviewed_and_told(watched):
    http = watched.http
    (incident,) = until(lambda: http.get("/v1/incidents", params={"stream": "door"}).json()["data"])
    assert (incident["status"], incident["severity"], incident["reviewed"]) == ("open", "alarm", False)
    assert http.get(incident["pictures"][0]["url"]).content[:2] == b"\xff\xd8"
    assert http.get(f"/v1/incidents/{incident['id']}").json()["id"] == incident["id"]
    assert http.patch(f"/v1/incidents/{incident['id']}", json={"reviewed": True}).json()["reviewed"]
    assert http.get("/v1/incidents", params={"reviewed": False}).json()["data"] == []
    assert http.get("/v1/incidents", params={"from": 0, "to": 1}).json()["data"] == []
    assert http.get("/v1/incidents", params={"before": incident["id"]}).json()["data"] == []
    assert http.get("/v1/incidents/9-9").json()["error"]["code"] == "incident_not_found"
    (event,) = http.get("/v1/events", params={"kind": "alert_raised"}).json()["data"]
    assert event["payload"]["incident"] == incident["id"]
    assert event["picture_url"] == incident["pictures"][0]["url"]


def test_a_watch_is_tried_on_the_past(watched):
    body = {"question": "is it?", "from_seconds": 1, **SURE}
    trial = watched.http.post("/v1/streams/door/watches/test", json=body).json()
    assert [(one["stream_seconds"], one["kind"]) for one in trial["fired"]] == [(1.0, "raised")]
    assert [one[0] for one in trial["scores"]] == [1.0, 2.0, 3.0]
    assert trial["covered_seconds"] == 2.0


def test_a_change_is_tried_as_it_would_be_kept(watched):
    http = watched.http
    body = {"question": "is it?", "onset": "did it come?", "hold_seconds": 60, "name": "tried", **SURE}
    made = http.post("/v1/streams/door/watches", json=body | {"newest_seconds": 8}).json()
    address = f"/v1/streams/door/watches/{made['id']}"
    assert http.post(f"{address}/test", json={}).json()["fired"] == []
    shorter = {"hold_seconds": 0, "from_seconds": 1}
    trial = http.post(f"{address}/test", json=shorter).json()
    whole = http.post("/v1/streams/door/watches/test", json=body | shorter | {"newest_seconds": 8}).json()
    assert trial == whole
    assert trial["covered_seconds"] == 2.0
    refused = http.post(f"{address}/test", json={"region": [(0, 0), (1, 0), (1, 1)]})
    assert (refused.status_code, "newest_seconds" in refused.json()["error"]["message"]) == (400, True)
    assert http.get(address).json()["hold_seconds"] == 60
    http.delete(address)
    assert http.post(f"{address}/test", json={}).json()["error"]["code"] == "watch_not_found"


def test_metrics_count_watches(watched):
    text = watched.http.get("/metrics").text
    assert 'hermes_watch_asked_total{stream="door"}' in text
    assert 'hermes_watch_events_total{stream="door",watch="a person"} 1.0' in text
    assert 'hermes_watch_score{stream="door",watch="a person"}' in text


def test_clients_watch(watched):
    with Client(watched.url) as client:
        made = client.watch("door", "what is it?", kind="state", options=["a", "b"], name="which")
        assert (made.kind, made.value) == ("state", None) or made.value in ("a", "b")
        assert client.change_watch("door", made.id, is_on=False).is_on is False
        with pytest.raises(WatchExistsError):
            client.watch("door", "who is it?", name="which")
        assert client.test_watch("door", "is it?", **SURE).fired
        assert [one.name for one in client.watches("door")] == ["a person", "which"]
        client.delete_watch("door", "which")
        with pytest.raises(UnknownWatchError):
            client.snooze_watch("door", "which", 5)
        (incident,) = client.incidents(stream="door", from_=0)
        assert client.picture(incident.picture_urls[0])

    async def look():
        async with AsyncClient(watched.url) as client:
            (watch,) = await client.watches("door")
            (incident,) = await client.incidents(status="open")
            assert (await client.review(incident.id)).reviewed
            return await client.snooze_watch("door", watch.id, 0)

    assert asyncio.run(look()).document["state"]["snoozed_until_seconds"] is None


def test_webhooks_are_made_by_who_may_for_addresses_that_may(tiny, tmp_path):
    with receiving() as receiver:
        allowed = (f"http://127.0.0.1:{receiver.port}/*",)
        settings = ServerSettings(port=0, allow_webhooks=allowed, private_networks=("127.0.0.0/8",))
        with serving(tmp_path, settings, model=tiny) as served:
            http = served.http
            refused = http.post("/v1/webhooks", json={"url": "http://169.254.169.254/latest"})
            assert refused.status_code == 403
            made = http.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["stream_opened"]})
            assert made.status_code == 201, made.text
            secret, number = made.json()["secret"], made.json()["webhook"]["id"]
            assert secret not in http.get("/v1/webhooks").text
            assert http.post(f"/v1/webhooks/{number}/test").json() == {"status": 204, "failure": None}
            http.post("/v1/streams", json={"name": "hall"}).raise_for_status()
            until(lambda: len(receiver.messages) == 2)
            document = json.loads(receiver.messages[1][1])
            assert (document["type"], document["data"]["stream"]) == ("stream_opened", "hall")
            assert http.patch(f"/v1/webhooks/{number}", json={"is_on": False}).json()["is_on"] is False
            wrong = http.patch(f"/v1/webhooks/{number}", json={"secret": "planted"})
            assert wrong.status_code == 400
            assert "planted" not in wrong.text
            with Client(served.url) as client:
                assert client.change_webhook(number, is_on=True)["is_on"]
                assert [one["id"] for one in client.webhooks()] == [number]
                client.delete_webhook(number)
                again = client.add_webhook(receiver.url, streams=["hall"])
                assert again["webhook"]["streams"] == ["hall"]
                client.delete_webhook(again["webhook"]["id"])
                with pytest.raises(UnknownWebhookError):
                    client.delete_webhook(number)
            assert http.get(f"/v1/webhooks/{number}").json()["error"]["code"] == "webhook_not_found"


def test_a_receiver_that_never_ends_its_answer_is_told_of_in_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.webhook_sending._TIMEOUT_SECONDS", 0.5)
    settings = ServerSettings(port=0, allow_webhooks=("http://*:*/*",), private_networks=("127.0.0.0/8",))
    with (
        endless(piece=b"HTTP/1.1 103 Early Hints\r\n\r\n") as receiver,
        serving(tmp_path, settings, model=tiny) as served,
    ):
        number = served.http.post("/v1/webhooks", json={"url": receiver.url}).json()["webhook"]["id"]
        tried = served.http.post(f"/v1/webhooks/{number}/test", timeout=20)
        assert tried.json() == {"status": None, "failure": "the receiver did not answer within 0.5 s"}
        until(lambda: receiver.num_open == 0)
