"""A password planted in the address of a camera is found nowhere."""

from __future__ import annotations

import logging
import time

import httpx
import pytest
from tests.server.served import serving

from hermes_stream.server import ServerSettings

PASSWORD = "plum-tree-4711"
USER = "gardener"
ADDRESS = f"rtsp://{USER}:{PASSWORD}@127.0.0.1:1/stream1"
SETTINGS = ServerSettings(
    port=0, allow_sources=("rtsp://127.0.0.1:*/*",), private_networks=("127.0.0.0/8",), log_format="json"
)


@pytest.fixture
def camera(tiny, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, SETTINGS, model=tiny) as one:
        yield one


def everything(http: httpx.Client) -> str:
    paths = (
        *("/v1/streams", "/v1/streams/door", "/v1/events", "/metrics", "/docs", "/openapi.json"),
        *("/v1/questions", "/v1/snapshots", "/v1/streams/door/memory", "/health/ready", "/v1/capacity"),
    )
    return "".join(http.get(path).text for path in paths)


def test_a_password_is_found_nowhere(camera, caplog):
    http = camera.http
    shown = http.post("/v1/streams", json={"name": "door", "source": ADDRESS}).text
    deadline = time.monotonic() + 10
    while http.get("/v1/streams/door").json()["reason"] is None and time.monotonic() < deadline:
        time.sleep(0.05)
    shown += http.post("/v1/streams", json={"name": "door", "source": ADDRESS.replace("door", "x")}).text
    shown += http.post("/v1/streams", json={"name": "yard", "source": ADDRESS.replace("rtsp", "http")}).text
    shown += http.post("/v1/streams", json={"name": "yard", "source": ADDRESS + "x" * 2000}).text
    shown += http.post("/v1/streams", json={"name": "yard", "source": [ADDRESS]}).text
    shown += http.post("/v1/streams", json={"name": "yard", "source": ADDRESS.removeprefix("rtsp://")}).text
    shown += http.post("/v1/streams/door/ask", json={"question": "what is there?"}).text
    for url in (ADDRESS, ADDRESS.replace("rtsp", "https")):
        part = {"type": "video_url", "video_url": {"url": url}}
        content = [part, {"type": "text", "text": "what?"}]
        body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
        shown += http.post("/v1/chat/completions", json=body).text
    shown += everything(http)
    assert "127.0.0.1:1/stream1" in shown
    assert PASSWORD not in shown
    assert USER not in shown
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/streams", {"source": ADDRESS}), ("/v1/streams", [{"source": ADDRESS}]), ("/v1/login", PASSWORD)],
)
def test_a_body_that_is_not_as_described_is_not_told_back_whole(served, path, body):
    refused = served.http.post(path, json=body)
    assert refused.status_code == 422
    assert PASSWORD not in refused.text
