"""User names and passwords of sources are shown nowhere."""

from __future__ import annotations

import logging
import socket
import threading
import traceback

import pytest
from tests.video.live_servers import WebServer, endless, mjpeg, sends_on
from tests.video.reading import Reading

from hermes_stream.errors import SourceRefusedError, VideoError
from hermes_stream.video import SourceOptions, SourcePolicy, open_source
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.connecting import connect
from hermes_stream.video.sources.lifeline import Lifeline

USER, PASSWORD = "Wachtmeister", "tr0ub4dor&3"
LOGIN = "Wachtmeister:tr0ub4dor%263@"
SECRETS = ("Wachtmeister", "tr0ub4dor", "V2FjaHRtZWlzdGVy")


def everything_said(reading, caplog) -> str:
    source = reading.source
    said = [repr(source), repr(source.stats), repr(vars(source)), *map(repr, reading.events)]
    said += [record.getMessage() + (record.exc_text or "") for record in caplog.records]
    return "\n".join(said)


def check(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text


@pytest.mark.parametrize(
    "path", ["cam", "cam?user=Wachtmeister&pwd=tr0ub4dor%263", "user=Wachtmeister_password=tr0ub4dor&3"]
)
def test_a_camera_that_lives_and_dies(path, caplog):
    caplog.set_level(logging.DEBUG)
    with RtspServer(credentials=(USER, PASSWORD)) as server:
        server.add("cam", endless(), fps=20, key_frame_seconds=0.25)
        with Reading(open_source(server.url("").replace("//", f"//{LOGIN}", 1) + path)) as reading:
            if path.startswith("cam"):
                reading.more_frames()
            server.close()
            reading.until(lambda: "disconnected" in reading.kinds)
            check(everything_said(reading, caplog))


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "tcp"])
def test_a_camera_that_is_not_there(scheme, caplog):
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Reading(open_source(f"{scheme}://{LOGIN}127.0.0.1:{port}/app/tr0ub4dor")) as reading:
        reading.until(lambda: "disconnected" in reading.kinds)
        text = everything_said(reading, caplog)
    check(text if scheme == "rtmp" else text.replace("/app/tr0ub4dor", ""))


@pytest.mark.parametrize("digest", [False, True])
def test_a_web_camera(digest, caplog):
    caplog.set_level(logging.DEBUG)
    routes = {"cam": mjpeg(endless, fps=20), "old": sends_on("/cam"), "away": sends_on("file:///etc/passwd")}
    with WebServer(routes, credentials=(USER, PASSWORD), digest=digest) as server:
        with Reading(open_source(server.url("old", LOGIN))) as reading:
            reading.more_frames()
        check(everything_said(reading, caplog))
        with Reading(open_source(server.url("away", LOGIN))) as reading:
            reading.until(lambda: "disconnected" in reading.kinds)
        check(everything_said(reading, caplog))
        assert "file" not in reading.events[0].reason
        with Reading(open_source(server.url("cam", LOGIN.replace("3@", "4@")))) as reading:
            reading.until(lambda: "disconnected" in reading.kinds)
        assert "password" in reading.events[0].reason
        check(everything_said(reading, caplog))


@pytest.mark.parametrize(
    ("address", "options", "policy"),
    [
        (f"rtsp://{LOGIN}127.0.0.1:99999/cam", {}, None),
        (f"rtsp://{LOGIN}[127.0.0.1/cam", {}, None),
        (f"rtsp://{LOGIN}", {}, None),
        (f"rtsp://{LOGIN}127.0.0.1/a b", {}, None),
        (f"gopher://{LOGIN}127.0.0.1/cam", {}, None),
        (f"tcp://{LOGIN}127.0.0.1/cam", {}, None),
        (f"rtsp://{LOGIN}127.0.0.1/cam", {"hwaccel": "abacus"}, None),
        (f"rtsp://{LOGIN}127.0.0.1/cam", {}, SourcePolicy(allow=("rtsp://10.0.0.1/*",))),
    ],
)
def test_refusals(address, options, policy):
    with pytest.raises((ValueError, VideoError)) as refused:
        open_source(address, SourceOptions(**options), policy=policy)
    check("".join(traceback.format_exception(refused.value)))
    assert isinstance(refused.value, SourceRefusedError) is (policy is not None)


def test_an_address_shows_none_of_it():
    for text in (
        f"rtsp://{LOGIN}cam/live",
        "rtsp://cam/user=Wachtmeister&password=tr0ub4dor&3&channel=1",
        "http://cam/video.cgi?usr=Wachtmeister&pwd=tr0ub4dor",
        "rtmp://host/live/tr0ub4dor",
        "srt://host:900?passphrase=tr0ub4dor",
    ):
        address = Address.parse(text)
        check(repr(address))
        assert address.shown.startswith(f"{address.scheme}://{address.host}")
    assert "channel=1" in Address.parse("rtsp://cam/user=a&password=b&channel=1").shown
    assert Address.parse(f"rtsp://{LOGIN}cam/live").password == PASSWORD


@pytest.mark.parametrize(("path", "login"), [("nothing", LOGIN), ("cam", LOGIN.replace("3@", "4@"))])
def test_a_camera_that_refuses(path, login, caplog):
    caplog.set_level(logging.DEBUG)
    with RtspServer(credentials=(USER, PASSWORD)) as server:
        server.add("cam", endless(), fps=20)
        with Reading(open_source(server.url(path).replace("//", f"//{login}"))) as reading:
            reading.until(lambda: "disconnected" in reading.kinds)
        check(everything_said(reading, caplog))
        lifeline = Lifeline(threading.Event(), silent_seconds=5)
        address = Address.parse(server.url(path).replace("//", f"//{login}"))
        with pytest.raises(VideoError) as refused:
            connect(address, SourceOptions(), policy=SourcePolicy(), lifeline=lifeline)
    check("".join(traceback.format_exception(refused.value)))
    assert ("path" if path == "nothing" else "password") in str(refused.value)
