"""Sources and the server against other programs' RTSP and RTMP: GStreamer and ffmpeg."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from tests.video.live_servers import endless
from tests.video.reading import Reading

from hermes_stream.video import SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer

PYTHON = "/usr/bin/python3"
CAMERA = Path(__file__).parent / "gstreamer_camera.py"
PROBE = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def gstreamer():
    if (
        shutil.which(PYTHON) is None
        or subprocess.run([PYTHON, "-c", PROBE], capture_output=True, check=False).returncode
    ):
        pytest.skip("there is no GStreamer RTSP server (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi)")


@contextmanager
def camera(port, *, encoding="h264", size="64x48", login="-"):
    command = [PYTHON, str(CAMERA), str(port), encoding, size, login]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize(("transport", "encoding"), [("tcp", "h264"), ("udp", "h264"), ("tcp", "mjpeg")])
def test_gstreamer_is_read_killed_and_read_again(gstreamer, transport, encoding):
    port, login = free_port(), "eva:geheim"
    source = open_source(
        f"rtsp://{login}@127.0.0.1:{port}/cam", SourceOptions(transport=transport, silent_seconds=2)
    )
    with camera(port, encoding=encoding, login=login), Reading(source) as reading:
        reading.more_frames(6)
        assert reading.frames[-1].image.shape == (48, 64, 3)
    assert all(later > earlier for earlier, later in pairwise(reading.times))
    assert reading.kinds[0] == "opened"


def test_a_killed_gstreamer_comes_back_with_another_size(gstreamer):
    port = free_port()
    source = open_source(f"rtsp://127.0.0.1:{port}/cam")
    with camera(port) as running, Reading(source) as reading:
        reading.more_frames(3)
        running.kill()
        reading.until(lambda: "disconnected" in reading.kinds)
        with camera(port, size="96x64"):
            reading.more_frames(3)
            source.stop()
            reading.ended()
    assert reading.kinds == ["opened", "disconnected", "reconnected", "gap", "format_changed"]
    assert reading.frames[-1].image.shape == (64, 96, 3)


def test_gstreamer_reads_our_server():
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("there is no gst-launch-1.0 (Debian: gstreamer1.0-tools)")
    with RtspServer() as server:
        server.add("cam", endless(), fps=20, key_frame_seconds=0.25)
        pipeline = f"rtspsrc location={server.url('cam')} protocols=tcp ! fakesink num-buffers=20"
        done = subprocess.run(
            ["gst-launch-1.0", *pipeline.split()], capture_output=True, timeout=20, check=False
        )
    # Its status tells of its end, in which it may pause what it has torn down and left itself.
    assert b"Got EOS" in done.stdout, done.stderr


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_reads_our_server(transport):
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg program")
    with RtspServer(credentials=("eva", "geheim")) as server:
        server.add("cam", endless(), fps=20, key_frame_seconds=0.25)
        url = server.url("cam").replace("//", "//eva:geheim@")
        command = [
            "ffmpeg",
            "-nostdin",
            "-rtsp_transport",
            transport,
            "-i",
            url,
            "-frames:v",
            "10",
            "-f",
            "null",
        ]
        done = subprocess.run([*command, "-"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "frame=   10" in done.stderr


def test_rtmp_is_pulled():
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg program")
    port = free_port()
    source = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=20"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "5", "-f", "flv"]
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    command = ["ffmpeg", "-nostdin", "-loglevel", "quiet", *source, *coding, "-listen", "1", url]
    with subprocess.Popen(command) as sender:
        try:
            with Reading(open_source(url)) as reading:
                reading.more_frames(6, 20)
        finally:
            sender.kill()
    assert all(later > earlier for earlier, later in pairwise(reading.times))
    assert reading.source.stats.address == f"rtmp://127.0.0.1:{port}/live/..."
