"""Gateways that share a port: while one ends, another answers."""

from __future__ import annotations

import socket

import httpx
import pytest
from tests.waiting import until

from hermes_stream.cluster.listening import Listening
from hermes_stream.errors import ServiceError
from hermes_stream.server.listening import is_free


def app_saying(name: str):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": name.encode()})

    return app


def ask(port: int) -> str:
    with httpx.Client(trust_env=False) as client:  # a connection of its own: the system chooses who takes it
        return client.get(f"http://127.0.0.1:{port}/").text


def test_one_of_those_that_live_answers():
    one = Listening(app_saying("one"), "127.0.0.1", 0, shared=True)
    try:
        assert not is_free("127.0.0.1", one.port)
        assert ask(one.port) == "one"
        two = Listening(app_saying("two"), "127.0.0.1", one.port, shared=True)
        try:
            until(lambda: ask(one.port) == "two")
            one.close()
            assert {ask(two.port) for _ in range(20)} == {"two"}
        finally:
            two.close()
    finally:
        one.close()
    assert is_free("127.0.0.1", one.port)


def test_a_port_that_is_not_shared_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for shared in (False, True):
            with pytest.raises(ServiceError, match=f"cannot listen at 127.0.0.1, port {port}"):
                Listening(app_saying("one"), "127.0.0.1", port, shared=shared)
