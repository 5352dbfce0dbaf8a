from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
from functools import partial

import httpx
import pytest
from httpx_sse import ServerSentEvent
from tests.server.served import jpeg
from tests.waiting import until

from hermes_stream.client import AnswerValue, AsyncClient, Client, calls
from hermes_stream.client.connection import connection_of
from hermes_stream.client.failures import check, error_of
from hermes_stream.client.sse import Following, Reading
from hermes_stream.errors import (
    ClosedError,
    OverloadedError,
    ServiceError,
    SettingsError,
    SourceRefusedError,
    StreamExistsError,
    UnknownKeyError,
    UnknownPictureError,
    UnknownStreamError,
    VideoError,
)
from hermes_stream.server.errors import _OF_TREE, refusal_of

NOW = "what is on screen now?"
GONE = "0001-door/2026-01-01/1.000000.jpg"


@pytest.fixture
def client(served):
    with Client(served.url) as one:
        yield one


@pytest.fixture
def free_url() -> str:
    """An address where nobody listens: whoever speaks with it fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_streams_are_opened_watched_asked_and_closed(client, served):
    opened = client.open_stream("hall", budget_tokens=60)
    assert (opened.name, opened.budget_tokens, opened.num_frames) == ("hall", 60, 0)
    receipts = [client.push("hall", jpeg(second), float(second)) for second in range(3)]
    assert [one.newest_pts_seconds for one in receipts] == [0.0, 1.0, 2.0]
    answer = client.ask("hall", NOW, num_moments=2)
    (asked, *_) = until(lambda: served.service.questions("hall"))  # it is recorded soon
    assert str(answer) == answer.text == asked.asked.answer
    assert answer.evidence
    assert client.picture(answer.evidence[0].picture_url).startswith(b"\xff\xd8")
    assert {one.name for one in client.streams()} >= {"door", "hall"}
    assert client.change_stream("hall", name="lobby").name == "lobby"
    client.close_stream("lobby", delete=True)
    assert "lobby" not in {one.name for one in client.streams(closed=True)}


def test_an_answer_comes_in_pieces_and_then_whole(client):
    *pieces, whole = client.ask_in_pieces("door", NOW)
    assert isinstance(whole, AnswerValue)
    assert "".join(pieces) == whole.text == client.ask("door", NOW).text


def test_snapshots(client):
    saved = client.save_snapshot("door")
    assert saved in client.snapshots("door")
    assert client.restore("door", saved.id).name == "door"
    fork = client.fork("door", "copy", saved.id)
    assert client.ask("copy", NOW).text == client.ask("door", NOW).text
    assert fork.num_frames == client.stream("door").num_frames
    assert len(client.memory("copy")["layers"]) > 1
    client.close_stream("copy")
    client.delete_snapshot("door", saved.id)
    assert saved.id not in {one.id for one in client.snapshots()}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.ask("nobody", NOW), UnknownStreamError),
        (lambda client: list(client.ask_in_pieces("nobody", NOW)), UnknownStreamError),
        (lambda client: client.ask("door", ""), ValueError),
        (lambda client: client.ask("door", NOW, max_new_tokens=-1), ValueError),
        (lambda client: client.open_stream("x/y"), ValueError),
        (lambda client: client.open_stream("other", "rtsp://192.0.2.1/x"), SourceRefusedError),
        (lambda client: client.picture(f"/v1/pictures/{GONE}"), UnknownPictureError),
    ],
)
def test_refusals_are_the_errors_of_python(client, call, error):
    with pytest.raises(error):
        call(client)


def test_a_stream_that_has_shown_nothing_cannot_be_asked(client):
    client.open_stream("empty")
    with pytest.raises(VideoError):
        client.ask("empty", NOW)
    client.close_stream("empty", delete=True)


def test_events_are_followed_from_where_one_is(client):
    past = client.events(limit=1000)
    assert [one.id for one in past] == sorted(one.id for one in past)
    seen, ready = [], threading.Event()

    def follow() -> None:
        for event in client.follow(after=past[-1].id, stream="watched"):
            seen.append(event)
            ready.set()
            return

    client.open_stream("watched")
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert ready.wait(20)
    assert seen[0].stream == "watched"
    assert seen[0].id > past[-1].id
    client.close_stream("watched", delete=True)


def test_where_there_is_no_server_it_is_said(free_url):
    with Client(free_url) as client:
        for call in (client.streams, lambda: next(client.follow()), lambda: client.ask("door", NOW)):
            with pytest.raises(ServiceError, match="hermes serve"):
                call()


def part_by_part(part: str) -> list[tuple[str, tuple, dict]]:
    """Return calls with a part of their path that is given."""
    watched = [("door", part), (part, "day")]
    return [
        *((name, (part,), {}) for name in ("stream", "change_stream", "close_stream", "snapshots")),
        *((name, (part,), {}) for name in ("watches", "save_snapshot", "memory", "review", "change_webhook")),
        *((name, (part, NOW), {}) for name in ("ask", "ask_in_pieces", "watch", "test_watch")),
        *((name, pair, {}) for name in ("delete_watch", "change_watch") for pair in watched),
        *(("snooze_watch", (*pair, 1.0), {}) for pair in watched),
        *((name, ("door", part), {}) for name in ("delete_snapshot", "restore")),
        ("push", (part, jpeg(0)), {}),
        ("fork", (part, "copy"), {}),
        ("delete_webhook", (part,), {}),
        ("clip", (part,), {"from_seconds": 0.0, "until_seconds": 1.0}),
    ]


@pytest.mark.parametrize("part", ["..", ".", "", "../..", "door/watches/1"])
def test_no_part_of_a_path_leads_elsewhere_and_nothing_is_sent(part, free_url):
    async def speak() -> None:
        async with AsyncClient(free_url) as client:
            for name, given, named in part_by_part(part):
                called = getattr(client, name)(*given, **named)
                with pytest.raises(ValueError, match="lead elsewhere"):
                    await (anext(called) if name == "ask_in_pieces" else called)

    asyncio.run(speak())
    with Client(free_url) as client:
        for name, given, named in part_by_part(part):
            call = partial(getattr(client, name), *given, **named)
            with pytest.raises(ValueError, match="lead elsewhere"):
                next(call()) if name == "ask_in_pieces" else call()


def test_a_stream_is_not_closed_in_the_place_of_a_watch(client):
    with pytest.raises(ValueError, match="lead elsewhere"):
        client.delete_watch("door", "..")
    assert client.stream("door").name == "door"


NO_PICTURES = [
    "{url}/trap",
    "//{host}/v1/pictures/{gone}",
    "{url}/v1/pictures/../whoami",
    "{url}/trap?x=/v1/pictures/{gone}",
    "/v1/pictures/../whoami",
    "/v1/pictures/%2e%2E/whoami",
    "/v1/pictures/0001-door/2026-01-01/%2e%2e/1.000000.jpg",
    "/v1/pictures/{gone}?x=1",
    "/v1/pictures/{gone}\n",
    "/v1/pictures/",
    "/v1/whoami",
    "{gone}",
    "",
]


@pytest.mark.parametrize("address", NO_PICTURES)
def test_what_is_no_address_of_a_picture_is_refused_and_nothing_is_sent(address, free_url):
    address = address.format(url=free_url, host=free_url.removeprefix("http://"), gone=GONE)

    async def speak() -> None:
        async with AsyncClient(free_url) as client:
            await client.picture(address)

    with Client(free_url) as client:
        for call in (lambda: client.picture(address), lambda: asyncio.run(speak())):
            with pytest.raises(ValueError, match="no address of a picture"):
                call()


def test_a_whole_address_of_a_picture_is_asked_of_the_own_server_alone(client, served, free_url):
    address = client.ask("door", NOW).evidence[0].picture_url
    jpeg_file = client.picture(address)

    async def speak(whole: str) -> bytes:
        async with AsyncClient(served.url) as other:
            return await other.picture(whole)

    # The address by which others know it is not the one that is spoken with, and nobody is there.
    for begin in (served.url, free_url, f"{free_url}/cameras"):
        assert client.picture(begin + address) == jpeg_file == asyncio.run(speak(begin + address))
    assert client.picture(address.replace(".", "%2E")) == jpeg_file


@pytest.mark.parametrize(
    "url",
    [
        "door",
        "ftp://host",
        "http://",
        "http://me:secret@host",
        "http://me:secret@host:no",
        "http://host:99999",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="address") as found:
        Client(url)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("key", ["two words", "schl\u00fcssel", "line\n"])
def test_a_key_that_is_none_is_refused_and_not_shown(key):
    with pytest.raises(ValueError, match="key") as found:
        Client("http://127.0.0.1:1", key)
    assert key not in str(found.value)


@pytest.mark.parametrize(
    ("status", "given", "kind", "words"),
    [
        (200, {"text": "<html>"}, ServiceError, "answered 200 to GET /v1/events, and not as hermes-stream"),
        (
            200,
            {"json": {"hello": 1}},
            ServiceError,
            "answered 200 to GET /v1/events, and not as hermes-stream",
        ),
        (
            200,
            {"stream": httpx.ByteStream(b"{{{"), "headers": {"Content-Encoding": "gzip"}},
            ServiceError,
            "cannot speak with",
        ),
        (
            301,
            {"headers": {"Location": "https://proxy/"}},
            ServiceError,
            "answered 301.*itself, https://proxy/",
        ),
        (418, {"text": "<html>"}, ServiceError, "proxy answered 418 .*not as hermes-stream"),
        (502, {"text": "<html>"}, ClosedError, "proxy answered 502 .*not as hermes-stream"),
        (
            503,
            {"json": {"is_ready": False, "reasons": ["it loads"]}},
            ClosedError,
            "answered 503.*: it loads",
        ),
    ],
)
def test_another_server_is_told_as_such(status, given, kind, words):
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, **given)

    for client in (Client("http://proxy"), AsyncClient("http://proxy")):
        transport = httpx.MockTransport(answered)
        client._http = type(client._http)(base_url="http://proxy", transport=transport)
        with pytest.raises(kind, match=words) as found:
            asyncio.run(client.events()) if isinstance(client, AsyncClient) else client.events()
        assert found.type is kind


SPAN = {"from_seconds": 0.0, "until_seconds": 1.0}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_page_is_no_picture_and_no_clip(kind):
    """Such as the login of a proxy."""
    client = kind("http://proxy")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, html="<html>"))
    client._http = type(client._http)(base_url="http://proxy", transport=transport)
    for ask in (lambda: client.picture(f"/v1/pictures/{GONE}"), lambda: client.clip("a", **SPAN)):
        with pytest.raises(ServiceError, match=r"answered 200 to GET /v1/.*, and not as hermes-stream"):
            asyncio.run(ask()) if kind is AsyncClient else ask()


def test_what_is_followed_goes_on_however_long_a_server_was_gone(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    told = b'id: 8\ndata: {"id": 8, "stream": "a", "kind": "k", "wall_seconds": 1, "payload": {}}\n\n'
    answers = [httpx.Response(502, text="<html>")] * 1100
    answers += [httpx.Response(200, content=told, headers={"Content-Type": "text/event-stream"})]
    client = Client("http://proxy")
    client._http = httpx.Client(
        base_url="http://proxy", transport=httpx.MockTransport(lambda _: answers.pop(0))
    )
    assert next(client.follow(after=7)).id == 8


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "no_key", PermissionError),
        (403, "forbidden", PermissionError),
        (403, "source_refused", SourceRefusedError),
        (404, "not_found", UnknownStreamError),
        (409, "stream_exists", StreamExistsError),
        (422, "missing", ValueError),
        (500, "internal_error", ServiceError),
    ],
)
def test_every_refusal_has_its_error(status, code, kind):
    assert type(error_of(status, {"message": "no", "code": code})) is kind


def test_what_a_server_refuses_comes_back_as_what_it_was():
    strange = {SettingsError, UnknownKeyError}  # no call of a client raises them
    for kind, status, *_ in _OF_TREE:
        if status >= 500 or kind in strange:
            continue
        refusal = refusal_of(kind("no", **({"retry_after_seconds": 1} if kind is OverloadedError else {})))
        assert type(error_of(refusal.status, refusal.body["error"])) is kind, refusal.code


def test_a_key_that_is_revoked_ends_what_is_followed_with_the_reason():
    error = {"message": "the key was revoked", "type": "authentication_error", "code": "wrong_key"}
    event = ServerSentEvent(event="error", data=json.dumps({"error": error}))
    with pytest.raises(PermissionError, match="revoked"):
        Following().take(event)


def test_too_much_says_when_to_try_again():
    found = error_of(429, {"message": "later", "code": "overloaded"}, retry_after="7")
    assert isinstance(found, OverloadedError)
    assert found.retry_after_seconds == 7


def test_the_asynchronous_client_says_the_same(served):
    async def speak() -> None:
        async with AsyncClient(served.url) as client:
            assert "door" in {one.name for one in await client.streams()}
            whole = await client.ask("door", NOW)
            parts = [piece async for piece in client.ask_in_pieces("door", NOW)]
            assert "".join(parts[:-1]) == parts[-1].text == whole.text
            with pytest.raises(UnknownStreamError):
                await client.stream("nobody")
            before = (await client.events(newest_first=True, limit=1))[0].id
            await client.save_snapshot("door")
            async for event in client.follow(after=before):
                assert event.id > before
                break

    asyncio.run(speak())


def test_both_clients_have_the_same_calls():
    def offered(kind: type) -> dict[str, list[str]]:
        own = {name: f for name, f in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(f).parameters) for name, f in own.items()}

    assert offered(Client) == offered(AsyncClient)


def sent(call) -> dict:
    arguments = call.arguments()
    return arguments.get("json") or arguments["params"]


def test_what_is_asked_for_is_what_is_sent():
    assert sent(calls.push("door", b"\xff\xd8", 1.001)) == {"pts_us": 1_001_000}
    assert calls.push("door", b"\x89PNG", None).arguments()["headers"] == {"Content-Type": "image/png"}
    assert sent(calls.streams(closed=True)) == {"closed": True}
    assert sent(calls.fork("door", "copy", 7)) == {"name": "copy", "snapshot": 7}
    assert sent(calls.review("7-1", reviewed=False)) == {"reviewed": False}
    assert sent(calls.snooze_watch("door", 1, 0.5)) == {"seconds": 0.5}
    assert sent(calls.incidents({"from_": 1.0, "status": "open"})) == {"from": 1.0, "status": "open"}
    assert sent(calls.search("red", {"since": 1.0, "until": 2.0})) == {"q": "red", "from": 1.0, "to": 2.0}
    assert sent(calls.report(["door"], 1.0, 2.0)) == {"streams": ["door"], "from": 1.0, "to": 2.0}
    clip = calls.clip_path("door", 1234567.125, 1234568.5)
    assert clip == "/v1/streams/door/clip?from=1234567.125&to=1234568.5"


def connected(url=None, key=None) -> tuple[str, dict]:
    return connection_of(url, key, timeout_seconds=7.0, verify="own.pem")


def test_a_client_speaks_with_its_server_alone_and_as_it_was_told(monkeypatch):
    monkeypatch.delenv("HERMES_URL", raising=False)
    monkeypatch.delenv("HERMES_KEY", raising=False)
    address, options = connected("https://host:1/cameras/")
    assert (address, options["base_url"]) == ("https://host:1", "https://host:1/cameras")
    assert (options["timeout"], options["verify"], options["headers"]) == (7.0, "own.pem", {})
    assert options["follow_redirects"] is False, "a redirect would carry the key elsewhere"
    assert connected()[0] == "http://127.0.0.1:8000"
    monkeypatch.setenv("HERMES_URL", "http://other:2")
    monkeypatch.setenv("HERMES_KEY", "own")
    address, options = connected()
    assert (address, options["headers"]) == ("http://other:2", {"Authorization": "Bearer own"})
    with pytest.raises(ValueError, match="user name or password"):
        connected("http://:secret@host")


def test_a_refusal_says_for_how_long_and_what_was_too_large():
    later = {"message": "later", "code": "overloaded", "retry_after_seconds": 0.5}
    assert error_of(429, later, retry_after="1").retry_after_seconds == 0.5
    assert type(error_of(413, {"message": "large", "code": "too_large"})) is ValueError
    proxy = httpx.Request("GET", "http://proxy/v1/streams")
    with pytest.raises(ServiceError, match="proxy answered 502"):
        check(httpx.Response(502, json={"error": {"reason": "down"}}, request=proxy))


def test_who_follows_goes_on_behind_what_came_last_and_is_patient():
    following = Following()
    assert following.headers == {"Accept": "text/event-stream"}
    for number in ("0", "7", "8"):
        following.take(ServerSentEvent(id=number))
        assert following.headers["Last-Event-ID"] == number
    assert [following.pause_seconds() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    following.take(ServerSentEvent(id="9"))
    assert following.pause_seconds() == 0.5


def test_an_answer_that_breaks_off_is_none():
    reading = Reading()
    assert reading.take(ServerSentEvent(data='{"text": "a "}')) == "a "
    with pytest.raises(ServiceError, match="in the middle of an answer"):
        reading.require()
