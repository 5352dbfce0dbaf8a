"""Webhooks: signed as the standard says, sent until they arrive, to whom it is allowed."""

from __future__ import annotations

import base64
import json
import socket
import time
from contextlib import ExitStack, nullcontext
from threading import Thread
from types import SimpleNamespace

import pytest
from openai import OpenAI
from tests.checkpoints import random_frames
from tests.service.receiver import endless, receiving
from tests.service.test_standing import FEW, SURE, events, push
from tests.waiting import until

from hermes_stream.errors import OverloadedError, SourceRefusedError, StreamExistsError, UnknownWebhookError
from hermes_stream.service import webhook_sending
from hermes_stream.service.webhook_messages import check_secret, new_secret
from hermes_stream.service.webhook_sending import WebhookSending
from hermes_stream.service.webhook_try import Attempt

DRIPPING = {"begin": b"HTTP/1.1 200 OK\r\nX-Long: ", "piece": b"a"}
ENDLESS = {
    "silent": {},
    "dripping": DRIPPING,
    "hints": {"piece": b"HTTP/1.1 103 Early Hints\r\n\r\n"},
    "handshake": {"begin": b"\x16\x03\x03\x40\x00", "piece": b"\x02"},
}
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5IQ=="


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("hermes_stream.service.webhook_sending._FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr("hermes_stream.service.webhook_sending._LONGEST_PAUSE_SECONDS", 0.2)


def test_messages_are_signed_as_openais_verifier_wants_them(serve, receiver):
    service = serve(public_url="https://house.example")
    service.open_stream("door", **FEW)
    status, secret = service.webhooks.add(receiver.url, secret=SECRET)
    assert secret == SECRET
    assert SECRET not in repr(status)
    service.watches.add("door", "is a person there?", name="person", post_seconds=1, **SURE)
    push(service, "door", random_frames(4))
    until(lambda: len(receiver.messages) == 2)
    service.watches.remove("door", "person")
    until(lambda: len(receiver.messages) == 3)
    verifier = OpenAI(api_key="none", webhook_secret=SECRET).webhooks
    for headers, body in receiver.messages:
        verifier.verify_signature(body.decode(), headers)
        with pytest.raises(Exception, match="signature"):
            verifier.verify_signature(body.decode() + " ", headers)
    documents = [json.loads(body) for _, body in receiver.messages]
    assert [one["type"] for one in documents] == ["incident.new", "incident.update", "incident.end"]
    assert len({one["data"]["incident_id"] for one in documents}) == 1
    first, updated, ended = (one["data"] for one in documents)
    assert first["picture_url"].startswith("https://house.example/v1/pictures/0001-door/")
    assert (first["stream"], first["watch"], first["verdict"], first["before"]) == (
        *("door", "person", "yes"),
        None,
    )
    assert first["ended_at"] is None
    assert len(updated["picture_urls"]) == 2
    changes = [
        (one["before"], one["after"], one["verdict"], one["reason"]) for one in (first, updated, ended)
    ]
    assert changes == [
        (None, "yes", "yes", None),
        ("yes", "yes", "yes", None),
        ("yes", None, None, "the watch was deleted"),
    ]
    assert ended["ended_at"] >= ended["started_at"]
    ids = [headers["webhook-id"] for headers, _ in receiver.messages]
    assert len(set(ids)) == 3
    until(lambda: service.webhooks.find(status.id).num_sent == 3)


def test_an_alert_is_told_from_its_beginning_to_its_end(serve, receiver):
    service = serve()
    service.open_stream("door", **FEW)
    service.webhooks.add(receiver.url)
    service.watches.add("door", "is it?", name="a", post_seconds=1, **SURE)
    push(service, "door", random_frames(3))
    until(lambda: len(receiver.messages) == 2)
    service.watches.change("door", "a", {"raise_at": 1, "clear_at": 1})  # its next answer is no
    push(service, "door", random_frames(4)[3:])
    until(lambda: len(receiver.messages) == 3)
    documents = [json.loads(body) for _, body in receiver.messages]
    told = [(one["type"], one["data"]["before"], one["data"]["after"]) for one in documents]
    assert told == [
        ("incident.new", None, "yes"),
        ("incident.update", "yes", "yes"),
        ("incident.end", "yes", "no"),
    ]
    assert [one["data"]["verdict"] for one in documents] == ["yes", "yes", "no"]
    assert all(one["data"]["reason"] is None for one in documents)
    assert len({one["data"]["incident_id"] for one in documents}) == 1


def test_an_update_that_comes_behind_the_end_says_so(serve, receiver):
    service = serve()
    service.open_stream("door", **FEW)
    service.webhooks.add(receiver.url)
    service.watches.add("door", "is it?", name="a", post_seconds=3, **SURE)
    push(service, "door", random_frames(1))
    until(lambda: receiver.messages)
    service.watches.change("door", "a", {"raise_at": 1, "clear_at": 1})
    push(service, "door", random_frames(6)[1:])
    until(lambda: len(receiver.messages) == 3)
    documents = [json.loads(body) for _, body in receiver.messages]
    assert [one["type"] for one in documents] == ["incident.new", "incident.end", "incident.update"]
    assert [one["data"]["verdict"] for one in documents] == ["yes", "no", "no"]


def test_a_message_is_tried_until_it_arrives_and_keeps_its_id(serve, receiver, impatient):
    service = serve()
    service.open_stream("door", **FEW)
    receiver.statuses[:] = [500, 503, 429, 302]
    made, _ = service.webhooks.add(receiver.url, kinds=["alert_raised"])
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(1))
    until(lambda: receiver.messages)
    until(lambda: service.webhooks.find(made.id).num_sent == 1)
    assert service.webhooks.find(made.id).num_failed == 4
    assert service.webhooks.find(made.id).failure is None


def test_what_was_not_sent_is_sent_after_a_restart(serve, impatient):
    service = serve()
    service.open_stream("door", **FEW)
    with receiving() as dead:
        port = dead.port
    service.webhooks.add(dead.url, kinds=["alert_raised"])
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(2))
    assert service.ask("door", "what?", max_new_tokens=2).text is not None  # nobody else waits for it
    until(lambda: service.webhooks.all()[0].num_failed)
    began = time.monotonic()
    service.close(drain_seconds=0)
    assert time.monotonic() - began < 10
    with receiving(port) as receiver:
        again = serve()
        until(lambda: receiver.messages)
        push(again, "door", random_frames(4)[2:])
        until(lambda: again.webhooks.all()[0].num_sent == 1)
        time.sleep(0.3)
        assert len(receiver.messages) == 1
        again.close(drain_seconds=0)


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_receiver_that_never_ends_its_answer_is_left_and_tried_again(serve, impatient, monkeypatch, kind):
    monkeypatch.setattr("hermes_stream.service.webhook_sending._TIMEOUT_SECONDS", 0.5)
    service = serve()
    with endless(**ENDLESS[kind]) as receiver:
        url = receiver.url.replace("http:", "https:") if kind == "handshake" else receiver.url
        made, _ = service.webhooks.add(url, kinds=["stream_opened"])
        service.open_stream("door", **FEW)
        until(lambda: receiver.num_calls >= 3)
        until(lambda: service.webhooks.find(made.id).num_failed >= 3)
        assert service.webhooks.find(made.id).failure == "the receiver did not answer within 0.5 s"
        assert service.webhooks.test(made.id).failure == "the receiver did not answer within 0.5 s"
        service.webhooks.change(made.id, is_on=False)
        until(lambda: receiver.num_open == 0)


def test_a_test_under_way_holds_up_no_other_and_no_end(serve):
    service = serve()
    with endless(**DRIPPING) as receiver:
        made, _ = service.webhooks.add(receiver.url)
        found = []
        trying = Thread(target=lambda: found.append(service.webhooks.test(made.id)), daemon=True)
        trying.start()
        until(lambda: receiver.num_calls)
        with pytest.raises(OverloadedError, match="another test of webhook"):
            service.webhooks.test(made.id)
        service.close(drain_seconds=0)
        trying.join(5)
        assert "the service ends" in found[0].failure
        until(lambda: receiver.num_open == 0)


def test_many_receivers_that_hang_end_together(serve):
    service = serve()
    with ExitStack() as lent:
        receivers = [lent.enter_context(endless(**DRIPPING)) for _ in range(8)]
        for receiver in receivers:
            service.webhooks.add(receiver.url, kinds=["stream_opened"])
        service.open_stream("door", **FEW)
        until(lambda: all(one.num_calls for one in receivers))
        began = time.monotonic()
        service.close(drain_seconds=0)
        assert time.monotonic() - began < 10  # one after the other they take 16
        until(lambda: not any(one.num_open for one in receivers), 5)


def test_what_happens_while_it_is_off_is_not_sent_though_a_message_was_on_its_way(serve, receiver):
    service = serve()
    receiver.answering.clear()
    made, _ = service.webhooks.add(receiver.url, kinds=["stream_opened"])
    service.open_stream("before", **FEW)
    until(lambda: receiver.messages)
    service.webhooks.change(made.id, is_on=False)
    service.open_stream("meanwhile", **FEW)
    newest = service.webhooks.change(made.id, is_on=True).sent_event_id
    receiver.answering.set()
    service.close(drain_seconds=0)
    again = serve()
    assert again.webhooks.find(made.id).sent_event_id >= newest
    again.open_stream("later", **FEW)
    until(lambda: again.webhooks.find(made.id).num_sent)
    told = [json.loads(body)["data"]["stream"] for _, body in receiver.messages]
    assert told == ["before", "later"]
    again.close(drain_seconds=0)


def test_how_far_a_webhook_is_never_goes_back(store):
    row = store.webhooks.add(url="http://house/", secret=SECRET, private_networks=[], sent_event_id=5)
    store.webhooks.advance(row.id, 7)
    store.webhooks.advance(row.id, 6, is_on=False)
    assert (store.webhooks.find(row.id).sent_event_id, store.webhooks.find(row.id).is_on) == (7, True)
    store.webhooks.advance(row.id, 8, is_on=False)
    assert (store.webhooks.find(row.id).sent_event_id, store.webhooks.find(row.id).is_on) == (8, False)


def test_a_receiver_that_refuses_or_is_gone_is_left(serve, receiver, impatient):
    service = serve()
    service.open_stream("door", **FEW)
    made, _ = service.webhooks.add(receiver.url, kinds=["alert_raised", "alert_cleared"])
    receiver.statuses[:] = [400] * 5
    service.watches.add("door", "is it?", name="a", **SURE)
    push(service, "door", random_frames(1))
    until(lambda: service.webhooks.find(made.id).num_given_up == 1)
    receiver.statuses[:] = [410]
    service.watches.remove("door", "a")
    until(lambda: not service.webhooks.find(made.id).is_on)
    assert receiver.messages == []
    assert service.webhooks.change(made.id, is_on=True).is_on
    assert service.webhooks.test(made.id).status == 204
    service.webhooks.remove(made.id)
    with pytest.raises(UnknownWebhookError):
        service.webhooks.find(made.id)


def test_addresses_are_allowed_or_refused(serve, receiver, impatient):
    service = serve()
    service.open_stream("door", **FEW)
    with pytest.raises(SourceRefusedError, match="allow_webhooks"):
        service.webhooks.add(receiver.url, allow=["https://*"])
    with pytest.raises(ValueError, match="no user name") as told:
        service.webhooks.add("http://me:hidden@127.0.0.1/")
    assert "hidden" not in str(told.value)
    with pytest.raises(ValueError, match="http:// or https://"):
        service.webhooks.add("ftp://127.0.0.1/" if False else "rtsp://127.0.0.1/")
    with pytest.raises(ValueError, match="secret must be"):
        service.webhooks.add(receiver.url, secret="whsec_c2hvcnQ=")
    allowed = [f"http://127.0.0.1:{receiver.port}/*"]
    inside, _ = service.webhooks.add(receiver.url, allow=allowed)
    assert "private network" in (service.webhooks.test(inside.id).failure or "")
    service.webhooks.remove(inside.id)
    reached, _ = service.webhooks.add(receiver.url, allow=allowed, private_networks=["127.0.0.0/8"])
    assert service.webhooks.test(reached.id).failure is None
    with pytest.raises(StreamExistsError, match="told already"):
        service.webhooks.add(receiver.url)


def test_a_new_secret_is_one_that_is_accepted():
    assert check_secret(new_secret()) != new_secret()


@pytest.mark.parametrize(("num_bytes", "is_one"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_secret_has_24_to_64_bytes(num_bytes, is_one):
    secret = "whsec_" + base64.b64encode(bytes(num_bytes)).decode()
    with nullcontext() if is_one else pytest.raises(ValueError, match="24 to 64 bytes"):
        assert check_secret(secret) == secret


def with_an_alert(service, receiver, statuses):
    """Return the webhook that is to tell of an alert that was raised, to a receiver that answers so first."""
    service.open_stream("door", **FEW)
    receiver.statuses[:] = statuses
    made, _ = service.webhooks.add(receiver.url, kinds=["alert_raised"])
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(1))
    return made


def test_to_switch_on_what_is_on_leaves_nothing_out(serve, receiver, impatient):
    service = serve()
    made = with_an_alert(service, receiver, [500] * 1000)
    until(lambda: service.webhooks.find(made.id).num_failed)
    service.webhooks.change(made.id, is_on=True)
    receiver.statuses.clear()
    until(lambda: receiver.messages)


def test_what_happens_while_a_webhook_is_off_is_past(serve, receiver, impatient):
    service = serve()
    service.open_stream("door", **FEW)
    made, _ = service.webhooks.add(receiver.url, kinds=["alert_raised"])
    service.webhooks.change(made.id, is_on=False)
    service.watches.add("door", "is it?", **SURE)
    push(service, "door", random_frames(1))
    (raised,) = until(lambda: events(service, "alert_raised"))
    assert service.webhooks.change(made.id, is_on=True).sent_event_id >= raised.id


def test_a_message_is_given_up_after_a_day(serve, receiver, impatient, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.webhook_sending._GIVE_UP_SECONDS", 0.3)
    service = serve()
    made = with_an_alert(service, receiver, [500] * 1000)
    until(lambda: service.webhooks.find(made.id).num_given_up == 1)


def test_a_secret_is_base64_throughout():
    with pytest.raises(ValueError, match="secret must be"):
        check_secret(SECRET.replace("c2Vj", "c2-Vj"))


def test_who_asks_to_be_told_later_does_not_refuse(serve, receiver, impatient):
    service = serve()
    made = with_an_alert(service, receiver, [429, 408, 425] * 2)
    until(lambda: receiver.messages)
    assert service.webhooks.find(made.id).num_given_up == 0


def test_a_secret_that_is_not_given_stays(serve, receiver):
    service = serve()
    made, _ = service.webhooks.add(receiver.url, secret=SECRET)
    service.webhooks.change(made.id, secret=None, streams=["door"])
    row = service._running.store.webhooks.find(made.id)
    assert (row.secret, row.streams) == (SECRET, ("door",))


def test_only_what_happens_on_its_streams_is_sent(serve, receiver):
    service = serve()
    service.webhooks.add(receiver.url, kinds=["alert_raised"], streams=["yard"])
    for name in ("door", "yard"):
        service.open_stream(name, **FEW)
        service.watches.add(name, "is it?", **SURE)
        push(service, name, random_frames(1))
        until(lambda name=name: name in {one.stream for one in events(service, "alert_raised")})
    until(lambda: receiver.messages)
    assert [json.loads(body)["data"]["stream"] for _, body in receiver.messages] == ["yard"]


@pytest.mark.parametrize("name", ["kinds", "streams"])
def test_a_list_that_names_nothing_is_refused(serve, receiver, name):
    webhooks = serve().webhooks
    with pytest.raises(ValueError, match=f"{name} must name at least one"):
        webhooks.add(receiver.url, **{name: []})
    made, _ = webhooks.add(receiver.url, **{name: ["a"]})
    with pytest.raises(ValueError, match=f"{name} must name at least one"):
        webhooks.change(made.id, **{name: []})
    assert getattr(webhooks.change(made.id, **{name: None}), name) is None


def test_an_event_that_cannot_be_told_holds_up_no_other(serve, receiver, impatient, monkeypatch):
    own = webhook_sending.message_of

    def message_of(event, *rest, **more):
        return own(event, *rest, **more) if event.stream == "yard" else {}["question"]

    monkeypatch.setattr(webhook_sending, "message_of", message_of)
    service = serve()
    service.webhooks.add(receiver.url, kinds=["stream_opened"])
    service.open_stream("door", **FEW)
    service.open_stream("yard", **FEW)
    until(lambda: receiver.messages)
    assert [json.loads(body)["data"]["stream"] for _, body in receiver.messages] == ["yard"]


def test_what_may_be_a_secret_in_an_address_is_not_shown(serve, receiver):
    service = serve()
    status, _ = service.webhooks.add(f"{receiver.url}?token=hidden")
    assert "hidden" not in status.url
    assert status.url.startswith(receiver.url)


def test_pauses_double_and_a_receiver_may_wish_for_longer_ones(monkeypatch):
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    sending, waited, wishes = object.__new__(WebhookSending), [], [None, 90.0, None, 7200.0, *[None] * 6]

    def attempt(*_):
        busy = len(waited) < len(wishes)
        wish = wishes[len(waited)] if busy else None
        return Attempt(status=503, failure="busy" if busy else None, retry_after_seconds=wish)

    sending._attempt = attempt
    sending._stopped = SimpleNamespace(is_set=lambda: False, wait=waited.append)
    assert sending._try_for_long("evt_1", b"", time.time()).has_arrived
    assert waited == [1, 90, 4, 3600, 16, 32, 64, 128, 256, 300]


def test_a_number_that_was_checked_is_called_by_its_name(serve, receiver, monkeypatch):
    own = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *of, **more: [one for one in own(*of, **more) if "." in one[4][0]]
    )
    named = f"http://localhost:{receiver.port}"
    service = serve()
    made, _ = service.webhooks.add(f"{named}/", allow=[f"{named}/*"], private_networks=["127.0.0.0/8"])
    assert service.webhooks.test(made.id).failure is None
    assert receiver.messages[0][0]["host"] == f"localhost:{receiver.port}"
