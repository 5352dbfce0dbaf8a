"""The RTSP server of demos and tests."""

from __future__ import annotations

import socket

import av
import numpy as np
import pytest
from tests.video.clips import MEDIA, encode, greys, shown
from tests.video.live_servers import endless, nothing_more_than, open_things
from tests.video.reading import Reading

from hermes_stream.errors import VideoError
from hermes_stream.video import Frame, SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer


def asked(server, *lines):
    """Send one request as it stands and return the answer."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(65536).decode()


def test_frames_come_as_they_were_at_their_times():
    frames = [Frame(pts_seconds=7 + k * 0.1, image=image) for k, image in enumerate(greys(12, step=20))]
    with RtspServer() as server:
        url = server.add("world", frames, fps=10, waits=True)
        with Reading(open_source(url)) as reading:
            reading.until(lambda: "disconnected" in reading.kinds)
    # x264 holds nothing back, and the first client misses nothing.
    assert [shown(frame.image, step=20) for frame in reading.frames] == list(range(12))
    assert reading.times == pytest.approx([k * 0.1 for k in range(12)], abs=0.06)


def test_many_clients_see_the_same():
    with RtspServer() as server:
        url = server.add("cam", endless(), fps=20, key_frame_seconds=0.25)
        both = [SourceOptions(transport="tcp"), SourceOptions(transport="udp")]
        readings = [Reading(open_source(url, options)) for options in both * 3]
        for reading in readings:
            reading.__enter__()
        for reading in readings:
            reading.more_frames(5)
        assert server.num_clients == 6
        for reading in readings:
            reading.__exit__()
        readings[0].until(lambda: server.num_clients == 0)


@pytest.mark.parametrize("name", ["h265_video.mp4", "nasa_13013_rotated.mp4"])
def test_files_are_sent_as_they_are(name):
    with RtspServer() as server:
        url = server.add("file", MEDIA / name, repeat=True)
        with Reading(open_source(url)) as reading:
            reading.more_frames(20)
    with av.open(str(MEDIA / name)) as container:
        coder = container.streams.video[0].codec_context
        assert (reading.source.stats.codec, reading.source.stats.width) == (coder.name, coder.width)


def test_a_file_begins_again(tmp_path):
    clip = encode(tmp_path / "clip.mp4", greys(6), rate=20, options={"bf": "0"})
    with RtspServer() as server:
        url = server.add("file", clip, repeat=True)
        with Reading(open_source(url)) as reading:
            reading.until(lambda: len(reading.frames) > 20)
    assert "disconnected" not in reading.kinds


def test_the_end_cuts_clients_off():
    with RtspServer() as server:
        url = server.add("short", greys(5), fps=20, waits=True)
        with Reading(open_source(url)) as reading:
            reading.until(lambda: "disconnected" in reading.kinds)
        assert len(reading.frames) == 5


def test_pictures_may_change_their_size():
    images = [np.full((48, 64, 3), 90, np.uint8)] * 15 + [np.full((64, 96, 3), 90, np.uint8)] * 500
    with (
        RtspServer() as server,
        Reading(open_source(server.add("cam", images, fps=20, waits=True))) as reading,
    ):
        reading.until(lambda: reading.frames and reading.frames[-1].image.shape[0] == 64)
        assert reading.frames[0].image.shape[0] == 48
        assert reading.kinds == ["opened", "format_changed"]


def test_what_is_not_known_is_refused():
    with RtspServer(credentials=("eva", "geheim")) as server:
        server.add("cam", endless(), fps=20)
        url = server.url("cam")
        assert "401" in asked(server, f"DESCRIBE {url} RTSP/1.0", "CSeq: 1")
        basic = "Authorization: Basic ZXZhOmdlaGVpbQ=="
        assert "200 OK" in asked(server, f"DESCRIBE {url} RTSP/1.0", "CSeq: 1", basic)
        assert "404" in asked(server, f"DESCRIBE {url}2 RTSP/1.0", "CSeq: 1", basic)
        assert "405" in asked(server, f"RECORD {url} RTSP/1.0", "CSeq: 1", basic)
        assert "461" in asked(server, f"SETUP {url} RTSP/1.0", "CSeq: 1", basic, "Transport: RAW/RAW")
        assert asked(server, "hello") == ""
        assert asked(server, "OPTIONS * RTSP/1.0", "Content-Length: many") == ""


def test_a_connection_outlives_its_session():
    """A client may pause what it has just torn down, or set up another, over the same connection."""
    with RtspServer() as server:
        server.add("cam", endless(), fps=20)
        url = server.url("cam")
        with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
            answers = connection.makefile("rb")
            for number, method in enumerate(("SETUP", "PLAY", "TEARDOWN", "PAUSE", "SETUP")):
                lines = [
                    f"{method} {url} RTSP/1.0",
                    f"CSeq: {number}",
                    "Transport: RTP/AVP/TCP;interleaved=0-1",
                ]
                connection.sendall("\r\n".join([*lines, "", ""]).encode())
                while (first := answers.read(1)) == b"$":
                    answers.read(int.from_bytes(answers.read(3)[1:], "big"))
                assert first + answers.readline() == b"RTSP/1.0 200 OK\r\n"
                assert answers.readline() == f"CSeq: {number}\r\n".encode()
                while answers.readline().strip():
                    pass


def test_bad_arguments_are_refused(tmp_path):
    with RtspServer() as server:
        with pytest.raises(ValueError, match="codec"):
            server.add("a", [], codec="vp9")
        with pytest.raises(ValueError, match="fps"):
            server.add("a", [], fps=0)
        server.add("a", greys(1))
        with pytest.raises(ValueError, match="played already"):
            server.add("/a/", greys(1))
        with pytest.raises(VideoError, match="cannot be played"):
            server.add("b", tmp_path / "nothing.mp4")
        with pytest.raises(VideoError, match="accepted: h264"):
            server.add("b", MEDIA / "testsrc2_vp9.webm")
        with pytest.raises(VideoError, match="choose another port"):
            RtspServer(port=server.port)


def test_nothing_is_left():
    before = open_things()
    with RtspServer() as server:
        server.add("cam", endless(), fps=20)
        server.add("waits", endless(), fps=20, waits=True)
    server.close()
    assert nothing_more_than(before)
