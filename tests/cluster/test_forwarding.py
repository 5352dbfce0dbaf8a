"""What the gateway hands on to a replica, and what it says where one side goes in the middle."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager

import httpx
import httpx_sse
import pytest
from tests.cluster.conftest import served
from tests.waiting import until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hermes_stream.cluster.gateway import Gateway


class OneReplica:
    """A finder that knows one address."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def owner(self, _):
        return None

    async def any(self, _=None):
        return self.address

    def forget(self, *_):
        """There is no other."""


class Replica:
    """An application that answers with events for ever, and notes what bodies came and how clients went."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.num_open = self.num_cut = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.num_cut += 1
                return
            body, is_whole = body + message["body"], not message.get("more_body", False)
        self.bodies.append(body)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self.num_open += 1
        left = asyncio.ensure_future(receive())
        while not left.done():
            await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
            await asyncio.wait({left}, timeout=0.05)
        self.num_open -= 1


@contextmanager
def gateway(replica, **options):
    with served(replica) as address, served(Gateway(OneReplica(address), **options)) as url:
        yield url


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_client_that_leaves_leaves_the_replica_too(method):
    replica = Replica()
    with gateway(replica) as url:
        with httpx.stream(method, f"{url}/v1/streams/a/ask", content=b"{}" * (method == "POST")) as answer:
            pieces = answer.iter_raw()  # dropped, it would leave by itself
            assert next(pieces)
            assert replica.num_open == 1
        until(lambda: replica.num_open == 0, seconds=5)
    assert replica.bodies == [b"{}" * (method == "POST")]


def test_a_body_that_breaks_off_is_not_taken_for_whole():
    replica = Replica()
    with gateway(replica) as url, socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as client:
        client.sendall(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        client.close()
        until(lambda: replica.num_cut or replica.bodies, seconds=5)
    assert replica.bodies == []


def test_a_body_that_is_too_large_is_refused_as_a_server_does():
    with gateway(Replica(), max_body_bytes=100) as url:
        answer = httpx.post(f"{url}/v1/chat/completions", content=b"x" * 101)
    assert answer.status_code == 413
    assert answer.json()["error"]["accepted"] == {"max_bytes": 100}
    assert "retry-after" not in answer.headers


def test_a_replica_that_goes_while_a_socket_is_opened_is_to_be_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def go() -> None:
            listener.accept()[0].close()

        threading.Thread(target=go, daemon=True).start()
        with served(Gateway(OneReplica(f"http://127.0.0.1:{listener.getsockname()[1]}"))) as url:
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws{url[4:]}/v1/streams/a/frames").close()
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"] == "1"


def test_what_a_connection_names_stays_on_it():
    given = []

    async def replica(scope, receive, send):
        if scope["type"] != "http":
            return
        given.extend(scope["headers"])
        headers = [(b"connection", b"X-Hop"), (b"x-hop", b"1"), (b"x-end", b"1"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with gateway(replica) as url:
        headers = {"Connection": "keep-alive, X-Mine, authorization", "X-Mine": "1", "Authorization": "a"}
        answer = httpx.get(f"{url}/v1/streams/a", headers=headers)
    assert "x-hop" not in answer.headers
    assert answer.headers["x-end"] == "1"
    assert not {b"x-mine"} & {name for name, _ in given}


@pytest.mark.parametrize("torn", [b"", b"event: piece\ndata: {", b"event: piece\ndata: {}\n"])
def test_what_a_replica_left_in_the_middle_of_an_event_is_no_part_of_the_error(torn):
    whole = b'event: piece\ndata: {"text": "yes"}\n\n'

    def go(listener):
        with listener.accept()[0] as connection:
            connection.recv(2**16)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            content = whole + torn
            connection.sendall(head + b"%x\r\n%s\r\n" % (len(content), content))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=go, args=(listener,), daemon=True).start()
        with (
            served(Gateway(OneReplica(f"http://127.0.0.1:{listener.getsockname()[1]}"))) as url,
            httpx.Client() as client,
            httpx_sse.connect_sse(client, "POST", f"{url}/v1/streams/a/ask", json={}) as answer,
        ):
            events = list(answer.iter_sse())
    assert [one.event for one in events] == ["piece", "error"]
    assert events[-1].json()["error"]["code"] == "replica_gone"
