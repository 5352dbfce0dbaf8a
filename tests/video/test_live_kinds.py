"""Every kind of live source keeps the contract: times increase, it stops within a second, nothing is left."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise

import pytest
from tests.video.clips import encode, greys
from tests.video.live_servers import (
    WebServer,
    endless,
    mjpeg,
    nothing_more_than,
    open_things,
    playlist,
    transport_stream,
    ts_over_tcp,
    ts_over_udp,
)

from hermes_stream.video import Frame, PushedFrames, SourceEvent, SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.connecting import connect
from hermes_stream.video.sources.devices import Device
from hermes_stream.video.sources.live import LiveSource
from hermes_stream.video.sources.source import SourceEventKind, SourceState

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
FPS = 20


@contextmanager
def rtsp(transport, codec="h264"):
    with RtspServer(credentials=("eva", "x@y")) as server:
        server.add("cam", endless(), fps=FPS, codec=codec, key_frame_seconds=0.25)
        url = server.url("cam").replace("//", "//eva:x%40y@")
        yield open_source(url, SourceOptions(transport=transport))


@contextmanager
def web(routes, path, **options):
    with WebServer(routes) as server:
        yield open_source(server.url(path), SourceOptions(**options))


@contextmanager
def bytes_over(kind, **how):
    with kind(lambda: endless(300), fps=FPS, **how) as url:
        yield open_source(url)


@contextmanager
def recorded(folder):
    yield open_source(encode(folder / "clip.mp4", greys(20) * 6, rate=FPS))


@contextmanager
def pushed():
    source, stopped = PushedFrames(), threading.Event()

    def push():
        for index, image in enumerate(endless()):
            source.push(Frame(pts_seconds=index / FPS, image=image))
            if stopped.wait(1 / FPS):
                return

    thread = threading.Thread(target=push)
    thread.start()
    yield source
    stopped.set()
    thread.join()


@contextmanager
def imitated_device():
    """A camera's driver, imitated by FFmpeg's own test device at its own pace."""

    def find_device(address, *, fps):
        return Device(name=f"testsrc2=size=64x48:rate={FPS},realtime", format="lavfi")

    connecting = partial(connect, find_device=find_device)
    yield LiveSource(Address.parse("/dev/video0"), SourceOptions(), connecting=connecting)


@contextmanager
def srt():
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg program")
    with ts_over_udp(lambda: [], fps=1) as free:
        port = free.rpartition(":")[2]
    source = ["-re", "-f", "lavfi", "-i", f"testsrc2=size=64x48:rate={FPS}"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "5", "-threads", "1"]
    url = f"srt://127.0.0.1:{port}?mode=listener"
    command = ["ffmpeg", "-nostdin", "-loglevel", "quiet", *source, *coding, "-f", "mpegts", url]
    with subprocess.Popen(command) as sender:
        yield open_source(f"srt://127.0.0.1:{port}")
        sender.kill()


@contextmanager
def screen():
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb program")
    with subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "64x48x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        display = server.stdout.readline().decode().strip()
        yield open_source(f"screen::{display}", SourceOptions(fps=FPS))
        server.kill()


KINDS = {
    "rtsp-tcp": lambda _: rtsp("tcp"),
    "rtsp-udp": lambda _: rtsp("udp"),
    "rtsp-h265": lambda _: rtsp("tcp", "h265"),
    "rtsp-mjpeg": lambda _: rtsp("tcp", "mjpeg"),
    "ts-tcp": lambda _: bytes_over(ts_over_tcp),
    "ts-udp": lambda _: bytes_over(ts_over_udp),
    "ts-multicast": lambda _: bytes_over(ts_over_udp, group="239.255.77.7"),
    "ts-http": lambda _: web({"cam": transport_stream(lambda: endless(300), fps=FPS)}, "cam"),
    "mjpeg-http": lambda _: web({"cam": mjpeg(endless, fps=FPS)}, "cam"),
    "hls": lambda _: web(playlist(piece_seconds=0.4), "live.m3u8"),
    "srt": lambda _: srt(),
    "screen": lambda _: screen(),
    "device": lambda _: imitated_device(),
    "file": recorded,
    "pushed": lambda _: pushed(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, tmp_path):
    before = open_things()
    with KINDS[kind](tmp_path) as source:
        frames, events, ended = [], [], []

        def read():
            for item in source.read():
                (frames if isinstance(item, Frame) else events).append(item)
            ended.append(time.monotonic())

        reader = threading.Thread(target=read)
        reader.start()
        deadline = time.monotonic() + 15
        while len(frames) < 12 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert source.stats.state is SourceState.LIVE
        stopped = time.monotonic()
        source.stop()
        reader.join(3)
        assert ended, "read goes on"
        assert ended[0] - stopped < 1
        times = [frame.pts_seconds for frame in frames]
        assert len(times) >= 12
        assert all(later > earlier for earlier, later in pairwise(times))
        assert times[0] == pytest.approx(0, abs=0.5)
        assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
        assert events[0].kind is SourceEventKind.OPENED
        assert all(isinstance(event, SourceEvent) for event in events)
        stats = source.stats
        assert (stats.state, stats.reason, stats.width, stats.height) == (
            SourceState.ENDED,
            "stopped",
            64,
            48,
        )
        assert stats.num_frames >= len(frames)
        assert stats.newest_seconds >= times[-1]
        assert stats.zero_wall_seconds == pytest.approx(time.time(), abs=60)
    assert nothing_more_than(before)


def test_a_stopped_source_reads_nothing(tmp_path):
    for kind in ("rtsp-tcp", "ts-udp", "file", "pushed"):
        with KINDS[kind](tmp_path) as source:
            source.stop()
            assert not [item for item in source.read() if isinstance(item, Frame)]


@pytest.mark.parametrize("kind", ["rtsp-tcp", "mjpeg-http", "device"])
def test_an_abandoned_iterator_closes_everything(kind, tmp_path):
    before = open_things()
    with KINDS[kind](tmp_path) as source, closing(source.read()) as items:
        assert any(isinstance(next(items), Frame) for _ in range(5))
    assert nothing_more_than(before)
