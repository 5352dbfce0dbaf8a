"""Frames that are pushed: one by one, several, over a WebSocket; damaged ones are told and harm nothing."""

from __future__ import annotations

import gc
import json
import struct
import time
from contextlib import suppress
from io import BytesIO

import pytest
from PIL import Image
from tests.server.served import jpeg, picture
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

US = 1_000_000


def message(second: float, content: bytes) -> bytes:
    return struct.pack(">Q", round(second * US)) + content


def png(number: int = 0) -> bytes:
    file = BytesIO()
    Image.fromarray(picture(number)).save(file, "PNG")
    return file.getvalue()


def open_stream(served, name: str) -> str:
    served.http.post("/v1/streams", json={"name": name, "fps": 1})
    return f"/v1/streams/{name}/frames"


def push(served, path: str, content: bytes, kind: str = "image/jpeg", **query):
    return served.http.post(path, content=content, headers={"Content-Type": kind}, params=query)


@pytest.mark.parametrize(("kind", "encode"), [("image/jpeg", jpeg), ("image/png", png)])
def test_a_picture_is_a_body(served, kind, encode):
    path = open_stream(served, f"one-{kind[-3:]}")
    receipt = push(served, path, encode(), kind, pts_us=3 * US).json()
    assert receipt["newest_pts_us"] == 3 * US
    assert (receipt["num_accepted"], receipt["num_dropped"]) == (1, 0)


def test_without_a_time_a_picture_is_of_now(served):
    path = open_stream(served, "now")
    first, second = push(served, path, jpeg(0)).json(), push(served, path, jpeg(1)).json()
    assert first["newest_pts_us"] == 0
    assert second["num_accepted"] + second["num_skipped"] == 1


def test_several_pictures_are_a_form(served):
    path = open_stream(served, "form")
    files = [("frames", (f"{n}.jpg", jpeg(n), "image/jpeg")) for n in range(3)]
    receipt = served.http.post(path, files=files, data={"pts_us": ["0", str(US), str(2 * US)]})
    assert receipt.json()["num_accepted"] == 3, receipt.text
    refused = served.http.post(path, files=files, data={"pts_us": ["5"]})
    assert refused.json()["error"]["code"] == "invalid_form"


@pytest.mark.parametrize(
    ("content", "kind", "query", "status"),
    [
        (b"GIF89a", "image/jpeg", {}, 400),
        (b"", "image/jpeg", {}, 400),
        (jpeg()[:100], "image/jpeg", {}, 400),
        (png()[:60], "image/png", {}, 400),
        (
            b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 60000, 60000) + b"\0" * 9,
            "image/png",
            {},
            400,
        ),
        (jpeg(), "text/plain", {}, 400),
        (jpeg(), "image/jpeg", {"pts_us": -1}, 422),
        (jpeg(), "image/jpeg", {"pts_us": 1 << 60}, 422),
    ],
)
def test_what_is_no_picture_is_refused(served, content, kind, query, status):
    refused = push(served, open_stream(served, "bad"), content, kind, **query)
    assert refused.status_code == status, refused.text
    assert refused.json()["error"]["message"]


def test_pictures_for_nobody_are_refused(served):
    assert push(served, "/v1/streams/nobody/frames", jpeg()).status_code == 404


def test_each_message_is_acknowledged_and_bad_ones_are_told(served):
    path = open_stream(served, "live")
    with connect(served.ws + path) as socket:
        for second in range(5):
            socket.send(message(second, jpeg(second)))
            assert json.loads(socket.recv())["newest_pts_us"] == second * US
        for bad in (
            "a text",
            b"",
            b"1234567",
            message(6, b"no picture"),
            struct.pack(">Q", 1 << 63) + jpeg(),
        ):
            socket.send(bad)
            assert json.loads(socket.recv())["error"]["message"]
        socket.send(message(7, jpeg()))
        assert json.loads(socket.recv())["newest_pts_us"] == 7 * US
        socket.send(message(7, jpeg()))
        again = json.loads(socket.recv())
        assert (again["num_accepted"], again["newest_pts_us"]) == (0, 7 * US)


def test_a_message_that_is_too_large_closes_its_connection_alone(served):
    path = open_stream(served, "large")
    with connect(served.ws + path, max_size=None) as socket:
        with suppress(ConnectionClosed):  # it may be told while it still sends
            socket.send(b"\0" * (9 << 20))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    # while it still sends, the connection may be reset before it has read why
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert served.http.get("/health/live").status_code == 200


def test_a_preview_follows_the_newest_picture(served):
    path = open_stream(served, "shown")
    push(served, path, jpeg(0), pts_us=0)
    with connect(served.ws + "/v1/streams/shown/preview") as socket:
        first = socket.recv(timeout=5)
        assert first[:8] == struct.pack(">Q", 0)
        assert first[8:10] == b"\xff\xd8"
        push(served, path, jpeg(1), pts_us=US)
        assert struct.unpack(">Q", socket.recv(timeout=5)[:8]) == (US,)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)  # nothing new, nothing sent


def test_a_preview_of_a_stream_that_is_closed_ends_and_is_no_fault_of_the_server(served, caplog):
    served.open_watched("closing", 1)
    with connect(served.ws + "/v1/streams/closing/preview") as socket:
        socket.recv(timeout=10)
        served.service.close_stream("closing", delete=True)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    time.sleep(0.2)
    gc.collect()
    assert not [one.getMessage() for one in caplog.records if one.name == "asyncio"]


@pytest.mark.parametrize("path", ["/v1/streams/nobody/frames", "/v1/streams/nobody/preview"])
def test_a_socket_to_nobody_is_refused_in_the_usual_shape(served, path):
    with pytest.raises(InvalidStatus) as refused, connect(served.ws + path):
        pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["error"]["code"] == "not_found"


def test_sessions_take_frames_and_questions_in_the_words_of_vllm(served):
    http = served.http
    opened = http.post("/v1/streaming/sessions", json={"fps": 1})
    assert opened.status_code == 201
    path = f"/v1/streaming/sessions/{opened.json()['id']}"
    for second in range(3):
        query, kind = {"pts_us": second * US}, {"Content-Type": "image/jpeg"}
        pushed = http.post(f"{path}/frame", params=query, content=jpeg(second), headers=kind)
        assert pushed.json()["frame"]["newest_pts_us"] == second * US
    text = {"Content-Type": "text/plain; charset=utf-8"}
    asked = http.post(f"{path}/frame", content="what is on screen now?", headers=text)
    assert asked.json()["answer"]["text"]
    assert http.post(f"{path}/frame", content=b"\xff\xfe", headers=text).status_code == 400
    assert http.delete(path).status_code == 204
    assert (
        http.post(f"{path}/frame", content=jpeg(), headers={"Content-Type": "image/jpeg"}).status_code == 404
    )
