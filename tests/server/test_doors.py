"""Every route, as its document lists them, with no key, a wrong one, and one of too small a scope."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.server.served import listening
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hermes_stream.server import ServerSettings
from hermes_stream.server.app import create_app
from hermes_stream.server.gate import PUBLIC
from hermes_stream.service import Service

SCOPES = ("read", "ask", "watch", "admin")


@pytest.fixture(scope="module")
def guarded(tiny, tmp_path_factory):
    settings = ServerSettings(port=0, require_keys=True, allow_origins=("https://home.example",))
    with Service(tiny, tmp_path_factory.mktemp("guarded")) as service, listening(service, settings) as one:
        yield one


@pytest.fixture(scope="module")
def keys(guarded):
    made = {scope: guarded.service.keys.create(scope, [scope])[0] for scope in SCOPES}
    return {**made, "all": guarded.service.keys.create("all", SCOPES)[0]}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def doors(guarded):
    """Every method and address of the document, and the scope that it needs."""
    document = guarded.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            filled = path.replace("{number}", "1").replace("{path}", "x").replace("{", "").replace("}", "")
            yield method.upper(), path, filled, one.get("x-scope")


def sockets(guarded):
    document = guarded.http.get("/openapi.json").json()
    return [
        (path.replace("{name}", "door"), one["x-scope"]) for path, one in document["x-websockets"].items()
    ]


def refused_with(url: str, headers: dict[str, str]) -> int:
    """Return the status with which a WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    return refused.value.response.status_code


def test_every_route_says_what_it_needs_unless_it_is_public(guarded):
    assert [path for _, path, _, scope in doors(guarded) if scope is None and path not in PUBLIC] == []
    assert all(scope for _, scope in sockets(guarded))
    assert {scope for *_, scope in doors(guarded)} == {None, "read", "ask", "watch", "admin"}


@pytest.mark.parametrize(
    "headers", [{}, bearer("hermes_wrong"), {"Authorization": "Basic YTpi"}, {"Cookie": "hermes_session=a.b"}]
)
def test_no_route_opens_without_a_key(guarded, headers):
    for method, path, filled, _ in doors(guarded):
        if path in PUBLIC:
            continue
        refused = guarded.http.request(method, filled, headers=headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error"), path
        assert refused.headers["www-authenticate"] == "Bearer"
    assert guarded.http.get("/no/such/route", headers=headers).status_code == 401


def test_no_route_opens_with_a_scope_that_is_too_small(guarded, keys):
    for method, path, filled, needed in doors(guarded):
        for scope in set(SCOPES) - {needed, "admin"}:
            if needed is None:
                continue
            refused = guarded.http.request(method, filled, headers=bearer(keys[scope]), json=_body(path))
            assert refused.status_code in (403, 422), (method, path, scope, refused.text)
            if refused.status_code == 422:  # the key is known; the request is none
                assert refused.json()["error"]["param"]


def _body(path: str) -> dict:
    """Return a body that is as described, so that nothing but the key is refused."""
    bodies = {
        "/v1/streams": {"name": "a"},
        "/v1/streams/{name}/ask": {"question": "a?"},
        "/v1/streams/{name}/fork": {"name": "b"},
        "/v1/chat/completions": {"model": "tiny", "messages": [{"role": "user", "content": "a?"}]},
    }
    return bodies.get(path, {})


def test_no_socket_opens_without_its_scope(guarded, keys):
    for path, needed in sockets(guarded):
        attempts = [({}, 401), (bearer("hermes_wrong"), 401)]
        attempts += [(bearer(keys[scope]), 403) for scope in set(SCOPES) - {needed, "admin"}]
        for headers, status in attempts:
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(guarded.ws + path, additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == status, (path, headers)


def test_a_key_that_was_revoked_opens_nothing(guarded):
    secret, record = guarded.service.keys.create("short", ["read"])
    assert guarded.http.get("/v1/streams", headers=bearer(secret)).status_code == 200
    guarded.service.keys.revoke(record.id)
    assert guarded.http.get("/v1/streams", headers=bearer(secret)).status_code == 401


def test_a_browser_signs_in_and_out(guarded, keys):
    with httpx.Client(base_url=guarded.url, headers={"Origin": guarded.url}) as browser:
        assert browser.post("/v1/login", json={"key": "wrong"}).status_code == 401
        signed = browser.post("/v1/login", json={"key": keys["all"]})
        assert signed.json()["scopes"] == sorted(SCOPES)
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert keys["all"] not in cookie
        who = browser.get("/v1/whoami").json()
        assert who["label"] == "all"
        opened = browser.post("/v1/streams", json={"name": "mine"})
        assert (opened.status_code, opened.json()["owner"]) == (201, who["key"])
        assert browser.post("/v1/logout").status_code == 204
        assert browser.get("/v1/whoami").status_code == 401


def test_a_strange_page_cannot_use_a_cookie(guarded, keys):
    with httpx.Client(base_url=guarded.url) as browser:
        strange = {"Origin": "https://evil.example"}
        assert browser.post("/v1/login", json={"key": keys["all"]}, headers=strange).status_code == 403
        browser.post("/v1/login", json={"key": keys["all"]})
        refused = browser.post("/v1/streams", json={"name": "theirs"}, headers=strange)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_refused")
        friend = {"Origin": "https://home.example"}
        assert browser.post("/v1/streams", json={"name": "ours"}, headers=friend).status_code == 201
        cookie = {"Cookie": f"hermes_session={browser.cookies['hermes_session']}", **strange}
        with (
            pytest.raises(InvalidStatus) as closed,
            connect(guarded.ws + "/v1/realtime", additional_headers=cookie),
        ):
            pass
        assert closed.value.response.status_code == 403


def test_a_token_opens_sockets_for_a_minute_and_nothing_else(guarded, keys, monkeypatch):
    made = guarded.http.post("/v1/websocket-token", headers=bearer(keys["all"])).json()
    token, origin = made["token"], {"Origin": guarded.url}
    with connect(f"{guarded.ws}/v1/realtime?token={token}", additional_headers=origin) as socket:
        assert json.loads(socket.recv())["type"] == "session.created"
    assert guarded.http.get(f"/v1/streams?token={token}").status_code == 401
    assert guarded.http.get("/v1/streams", headers={"Cookie": f"hermes_session={token}"}).status_code == 401
    now = time.time()
    monkeypatch.setattr(guarded.server.app.state.hermes.signer, "_clock", lambda: now + 61)
    with pytest.raises(InvalidStatus), connect(f"{guarded.ws}/v1/realtime?token={token}"):
        pass


def test_a_key_has_quotas(guarded):
    secret, _ = guarded.service.keys.create("few", ["ask", "read"], max_streams=1, max_questions=2)
    http, headers = guarded.http, bearer(secret)
    assert http.post("/v1/streams", json={"name": "one"}, headers=headers).status_code == 201
    assert http.post("/v1/streams", json={"name": "one"}, headers=headers).status_code == 201
    refused = http.post("/v1/streams", json={"name": "two"}, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_of_streams")
    codes = [
        http.post("/v1/streams/one/ask", json={"question": "a?"}, headers=headers).status_code
        for _ in range(3)
    ]
    assert codes == [409, 409, 429]  # nothing was shown yet, but it was asked
    late = http.post("/v1/streams/one/ask", json={"question": "a?"}, headers=headers)
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert http.delete("/v1/streams/one", headers=headers).status_code == 204
    assert http.post("/v1/streams", json={"name": "two"}, headers=headers).status_code == 201


def test_a_quota_of_streams_holds_for_requests_that_come_together(guarded):
    secret, _ = guarded.service.keys.create("one", ["ask", "read"], max_streams=1)

    def post(number: int) -> int:
        body = {"name": f"together-{number}"}
        return guarded.http.post("/v1/streams", json=body, headers=bearer(secret)).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(post, range(6))) == [201, *[429] * 5]


def test_questions_of_a_conversation_are_counted_too(guarded):
    secret, _ = guarded.service.keys.create("one", ["ask"], max_questions=1)
    guarded.service.open_stream("asked")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a?"}]}
    with connect(f"{guarded.ws}/v1/realtime?stream=asked", additional_headers=bearer(secret)) as socket:
        codes = []
        for _ in range(2):
            for event in ({"type": "conversation.item.create", "item": item}, {"type": "response.create"}):
                socket.send(json.dumps(event))
            while (told := json.loads(socket.recv(timeout=20)))["type"] != "error":
                pass
            codes.append(told["error"]["code"])
    assert codes == ["no_video", "quota_of_questions"]


def test_others_streams_are_closed_by_an_administrator_alone(guarded, keys):
    guarded.http.post("/v1/streams", json={"name": "theirs"}, headers=bearer(keys["admin"]))
    assert guarded.http.delete("/v1/streams/theirs", headers=bearer(keys["ask"])).status_code == 403
    assert guarded.http.delete("/v1/streams/theirs", headers=bearer(keys["admin"])).status_code == 204


def test_others_streams_are_begun_again_and_get_sources_by_an_administrator_alone(guarded, keys, story):
    http, admin, other = guarded.http, bearer(keys["admin"]), bearer(keys["ask"])
    with story.open("rb") as file:
        clip = http.post("/v1/files", files={"file": ("a.mp4", file)}, headers=other).json()["id"]

    def opened(headers: dict[str, str], **body: object) -> tuple[str, str | None]:
        answer = http.post("/v1/streams", json={"name": "camera", **body}, headers=headers).json()
        return answer.get("error", {}).get("code", ""), answer.get("source")

    assert opened(admin) == ("", None)
    assert opened(other) == ("", None), "the same again is the same stream"
    for body in ({"source": clip}, {"source": clip, "replace_source": True}):
        assert opened(other, **body)[0] == "not_own"
    assert http.delete("/v1/streams/camera", headers=admin).status_code == 204
    assert opened(other)[0] == "not_own"
    assert http.get("/v1/streams/camera", headers=admin).json()["state"] == "closed"
    code, source = opened(admin, source=clip)
    assert (code, source is None) == ("", False)
    assert opened(other, source=clip) == ("", source), "nothing is changed"
    assert http.delete("/v1/streams/camera?delete=true", headers=admin).status_code == 204
    assert opened(other, source=clip)[0] == "", "a name that is free"
    assert http.delete("/v1/streams/camera?delete=true", headers=other).status_code == 204


def test_a_page_of_an_allowed_origin_may_read(guarded, keys):
    headers = {"Origin": "https://home.example", **bearer(keys["read"])}
    assert guarded.http.get("/v1/streams", headers=headers).headers["access-control-allow-origin"]
    asked = {"Origin": "https://home.example", "Access-Control-Request-Method": "POST"}
    assert guarded.http.options("/v1/streams", headers=asked).status_code == 200


def test_without_keys_only_this_machine_is_served(served):
    assert served.http.get("/v1/streams").status_code == 200
    refused = served.http.get("/v1/streams", headers={"Host": "evil.example"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "host_refused")
    strange = {"Origin": "http://evil.example"}
    assert served.http.post("/v1/streams", json={"name": "x"}, headers=strange).status_code == 403
    with pytest.raises(InvalidStatus), connect(served.ws + "/v1/realtime", origin="http://evil.example"):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "camera.example"])
def test_any_other_address_needs_keys(host):
    assert ServerSettings(host=host).needs_keys
    assert not ServerSettings(host=host, no_auth=True).needs_keys


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machines_own_address_needs_none(host):
    assert not ServerSettings(host=host).needs_keys
    assert ServerSettings(host=host, require_keys=True).needs_keys


def test_secrets_are_kept_from_others(guarded):
    create_app(guarded.service)  # the second finds the secret that the first made
    secret = guarded.service.data_dir / "server.secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert len(secret.read_bytes()) == 32
