"""Clients that leave free their answers; a server that ends lets answers end, and ends in time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from tests.server.served import Served, serving
from websockets.sync.client import connect

from hermes_stream.server import ServerSettings

# Random weights do not stop by themselves: their answers are as long as they may be.
LONG = {"question": "what is on screen now?", "max_new_tokens": 2000, "num_moments": 0}
ROOM = {"max_new_tokens": 2000, "text_tokens": 2300, "budget_tokens": 64, "chunk_frames": 2}
PARTS = [
    {"type": "video_url", "video_url": {"url": "stream://door"}},
    {"type": "text", "text": "what is on screen now?"},
]
CHAT = {"model": "?", "max_tokens": 2000, "messages": [{"role": "user", "content": PARTS}]}


@pytest.fixture(scope="module")
def slow(model, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("slow"), model=model, **ROOM) as one:
        one.open_watched("door", 2)
        yield one


def open_questions(served: Served) -> int:
    return served.service.capacity().num_open_questions


def wait_until(is_so, seconds: float) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began


def send(served: Served, path: str, body: dict) -> socket.socket:
    """Send a request by hand, to leave in the middle."""
    host, port = served.url.removeprefix("http://").split(":")
    content = json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    connection = socket.create_connection((host, int(port)))
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
    return connection


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "body"), [("/v1/streams/door/ask", LONG), ("/v1/chat/completions", CHAT)])
def test_a_client_that_leaves_frees_its_answer_within_a_second(slow, path, body, stream):
    named = {**body, "stream": stream, **({"model": slow.service.model.card.name} if "model" in body else {})}
    connection = send(slow, path, named)
    wait_until(lambda: open_questions(slow) == 1, 10)
    if stream:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    time.sleep(0.1)
    assert open_questions(slow) == 1
    connection.close()
    assert wait_until(lambda: open_questions(slow) == 0, 5) < 1


def test_an_answer_of_a_session_is_cancelled(slow):
    with connect(slow.ws + "/v1/realtime?stream=door") as live:
        live.send(json.dumps({"type": "session.update", "session": {"max_output_tokens": 2000}}))
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "what is it?"}]}
        live.send(json.dumps({"type": "conversation.item.create", "item": item}))
        live.send(json.dumps({"type": "response.create"}))
        kinds = []
        while "response.output_text.delta" not in kinds:
            kinds.append(json.loads(live.recv(timeout=10))["type"])
        live.send(json.dumps({"type": "response.create"}))
        live.send(json.dumps({"type": "response.cancel"}))
        events = [json.loads(live.recv(timeout=10))]
        while events[-1]["type"] != "response.done":
            events.append(json.loads(live.recv(timeout=10)))
        assert events[-1]["response"]["status"] == "cancelled"
        codes = [event["error"]["code"] for event in events if event["type"] == "error"]
        assert codes == ["conversation_already_has_active_response"]
        wait_until(lambda: open_questions(slow) == 0, 1)


def test_more_questions_than_may_be_open_are_told_when_to_come_again(slow):
    connections = [send(slow, "/v1/streams/door/ask", {**LONG, "stream": True}) for _ in range(8)]
    try:
        wait_until(lambda: open_questions(slow) == 8, 10)
        refused = slow.http.post("/v1/streams/door/ask", json=LONG)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: open_questions(slow) == 0, 2)


def test_a_server_that_ends_lets_answers_end(model, tmp_path):
    with serving(tmp_path, model=model, **ROOM) as one:
        one.open_watched("door", 2)
        pieces = []

        def listen() -> None:
            body = {**LONG, "max_new_tokens": 200, "stream": True}
            with httpx.stream("POST", one.url + "/v1/streams/door/ask", json=body, timeout=30) as sent:
                pieces.extend(sent.iter_lines())

        thread = threading.Thread(target=listen)
        thread.start()
        wait_until(lambda: open_questions(one) == 1, 10)
        one.server.stop()
        thread.join(20)
        assert "event: answer" in pieces


@pytest.mark.long
def test_time_is_up_for_an_answer_that_takes_too_long(model, tmp_path):
    with serving(tmp_path, ServerSettings(port=0, shutdown_seconds=1), model=model, **ROOM) as one:
        one.open_watched("door", 2)
        connection = send(one, "/v1/streams/door/ask", {**LONG, "stream": True})
        wait_until(lambda: open_questions(one) == 1, 10)
        began = time.monotonic()
        one.server.stop()
        wait_until(lambda: open_questions(one) == 0, 4)
        assert time.monotonic() - began < 4
        connection.close()


PROGRAM = """
import sys
from hermes_stream.server import Server, ServerSettings
from hermes_stream.service import Service
with Service("tiny", sys.argv[1]) as service:
    server = Server(service, ServerSettings(port=0), log_level="INFO")
    server.run(on_listening=lambda url: print(url, flush=True))
"""


@pytest.mark.long
def test_sigterm_ends_a_program_with_0_though_a_client_listens(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "service")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": (tmp_path / "log").open("wb"), "text": True}
    with pipes["stderr"], subprocess.Popen(command, **pipes, env=environment) as program:
        url = program.stdout.readline().strip()
        headers = {"Accept": "text/event-stream", "X-Request-ID": "mine"}
        with httpx.Client(base_url=url) as http, http.stream("GET", "/v1/events", headers=headers) as sent:
            lines = sent.iter_lines()
            next(lines)
            began = time.monotonic()
            program.send_signal(signal.SIGTERM)
            for _ in lines:
                pass  # ends by itself
            assert time.monotonic() - began < 10
        assert program.wait(60) == 0  # the interpreter's own end takes long on a busy machine
    written = (tmp_path / "log").read_text()
    assert "GET /v1/events 200" in written
    assert "[mine]" in written
    assert "Traceback" not in written
