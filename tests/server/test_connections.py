"""Connections that bring no request do not keep a place for others."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import ExitStack, suppress
from types import ModuleType

import httpx
import pytest
from tests.server.served import serving

from hermes_stream.server import Server, ServerSettings, connections, listening
from hermes_stream.service import Service

MOST = 4
HEAD_SECONDS = 0.6


@pytest.fixture(scope="module")
def bounded(tiny, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEAD_SECONDS", HEAD_SECONDS)
        settings = ServerSettings(port=0, max_connections=MOST)
        with serving(tmp_path_factory.mktemp("bounded"), settings, model=tiny) as one:
            yield one


def dial(served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)))
    made.settimeout(10)
    return made


def closed_after(connection: socket.socket) -> float:
    """Return how long it took until the server closed a connection; what it sends is passed over."""
    began = time.monotonic()
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def test_a_connection_over_which_nothing_comes_is_closed(bounded):
    with dial(bounded) as one:
        assert HEAD_SECONDS / 2 < closed_after(one) < 10 * HEAD_SECONDS


def test_headers_that_come_slowly_are_not_waited_for(bounded):
    with dial(bounded) as one:
        began = time.monotonic()
        letters = iter(b"GET /health HTTP/1.1\r\nX-Slow: " + b"a" * 1000)
        with suppress(ConnectionError):
            while time.sleep(0.05) is None:
                one.send(bytes([next(letters)]))
        assert time.monotonic() - began < 10 * HEAD_SECONDS


def test_the_second_request_of_a_connection_is_not_waited_for_either(bounded):
    with dial(bounded) as one:
        one.send(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
        one.send(b"GET /health/live HT")
        assert closed_after(one) < 10 * HEAD_SECONDS


def test_a_request_that_takes_longer_is_served(bounded):
    headers = {"Accept": "text/event-stream"}
    with bounded.http.stream("GET", "/v1/events", headers=headers) as sent:
        lines = sent.iter_lines()
        next(lines)
        time.sleep(2 * HEAD_SECONDS)
        bounded.service.open_stream("later")
        assert any("stream_opened" in line for line in lines_until(lines, "stream_opened"))


def lines_until(lines, text):
    for line in lines:
        yield line
        if text in line:
            return


def test_more_connections_than_there_is_room_for_are_closed_at_once_and_counted(bounded):
    with ExitStack() as open_ones:
        for _ in range(MOST + connections._SPARE):
            open_ones.enter_context(dial(bounded))
        with dial(bounded) as beyond:
            assert closed_after(beyond) < HEAD_SECONDS / 2
    time.sleep(HEAD_SECONDS)
    text = bounded.http.get("/metrics").text
    (line,) = [one for one in text.splitlines() if one.startswith("hermes_http_refused_connections_total")]
    assert float(line.split()[1]) >= 1


def test_the_loop_and_the_parser_do_not_depend_on_what_else_is_installed(tmp_path, monkeypatch):
    """Ray brings uvloop and httptools, which uvicorn would take of itself."""
    for name in ("uvloop", "httptools"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))  # imports, and has nothing
    loops = []

    async def look() -> str:
        loops.append(type(asyncio.get_running_loop()))
        return "here"

    with Service("tiny", tmp_path) as service:
        server = Server(service, ServerSettings(port=0))
        server.app.get("/look")(look)
        with server.listening() as url:
            assert httpx.get(f"{url}/look").text == '"here"'
    assert loops[0].__module__.startswith("asyncio.")


def test_small_pieces_of_an_answer_are_sent_at_once():
    listener = listening.bind("127.0.0.1", 0)
    listening.listen(listener, "127.0.0.1", 0)
    found: list[int] = []

    async def note(_, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("socket")
        found.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def meet() -> None:
        async with await asyncio.start_server(note, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()

    asyncio.run(meet())
    assert found == [1]  # else each piece waits 40 ms for the one before to be acknowledged
