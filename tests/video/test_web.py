"""Reading over HTTP, and playlists of HLS."""

from __future__ import annotations

import av
import numpy as np
import pytest
from tests.video.clips import add_video, encode, greys, order
from tests.video.live_servers import WebServer, body, endless, jpeg, mjpeg, playlist, sends_on, ts_pieces
from tests.video.reading import Reading

from hermes_stream.errors import VideoError
from hermes_stream.video import SourceOptions, open_source
from hermes_stream.video.sources.playlist import parse_playlist


def read(url, **options):
    with Reading(open_source(url, SourceOptions(**options))) as reading:
        reading.until(lambda: reading.kinds and reading.kinds[-1] in ("ended", "disconnected", "failed"))
    return reading


def test_a_file_over_http_is_played_at_its_pace_and_ends(tmp_path):
    path = encode(tmp_path / "clip.mkv", greys(8))
    with WebServer({"clip": body(path.read_bytes(), "video/x-matroska")}) as server:
        reading = read(server.url("clip"))
    assert reading.kinds == ["opened", "ended"]
    assert order(reading.frames) == list(range(8))
    assert reading.times == pytest.approx([k / 10 for k in range(8)], abs=0.05)


def breaking(content: bytes, *, parts: bool, stalls: bool = False, changes: bool = False):
    """A route whose answers break: each after a third of the whole, or stall there."""
    third, versions = len(content) // 3 + 1, []

    def route(request):
        versions.append(f'"{len(versions) if changes else 0}"')
        begin = 0
        if parts and request.headers.get("If-Range", versions[-1]) == versions[-1]:
            begin = int(request.headers.get("Range", "bytes=0-")[6:-1])
        request.send_response(206 if begin else 200)
        request.send_header("Content-Type", "video/x-matroska")
        request.send_header("Content-Length", str(len(content) - begin))
        request.send_header("ETag", versions[-1])
        if parts:
            request.send_header("Accept-Ranges", "bytes")
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        request.wfile.write(content[begin : begin + third])
        if stalls:
            request.server.is_over.wait()
        request.close_connection = True

    return route


def noisy(folder):
    """A recording that does not fit into what FFmpeg reads at once."""
    noise = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8)
    return encode(folder / "clip.mkv", noise, codec="ffv1", pix_fmt="bgr0").read_bytes()


def test_a_recording_that_breaks_goes_on_where_the_server_gives_parts(tmp_path):
    with WebServer({"clip": breaking(noisy(tmp_path), parts=True)}) as server:
        reading = read(server.url("clip"))
    assert reading.kinds == ["opened", "ended"]
    assert len(reading.frames) == 8
    assert len(server.requests) == 3


@pytest.mark.parametrize("how", [{"parts": False}, {"parts": True, "changes": True}])
def test_a_recording_that_breaks_for_good_has_failed_and_is_not_seen_twice(how, tmp_path):
    with WebServer({"clip": breaking(noisy(tmp_path), **how)}) as server:
        reading = read(server.url("clip"))
        reading.ended()
    assert reading.kinds == ["opened", "failed"]
    assert "before the end" in reading.events[-1].reason
    assert reading.source.stats.state == "failed"
    assert 0 < len(reading.frames) < 8


def test_a_recording_that_stalls_has_failed_and_is_not_seen_twice(tmp_path):
    with WebServer({"clip": breaking(noisy(tmp_path), parts=False, stalls=True)}) as server:
        reading = read(server.url("clip"), silent_seconds=0.5)
    assert reading.kinds == ["opened", "failed"]
    assert "no picture came for 0.5 s" in reading.events[-1].reason
    assert server.requests == ["/clip"]


def test_what_lies_behind_the_last_picture_of_a_recording_need_not_be_read(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        container.mux(add_video(container, greys(4)))
    content = path.read_bytes() + (2**20).to_bytes(4, "big") + b"free" + bytes(2**20 - 8)
    with WebServer({"clip": body(content, "video/mp4")}) as server:
        reading = read(server.url("clip"))
    assert (reading.kinds, len(reading.frames)) == (["opened", "ended"], 4)


def test_a_camera_that_declares_a_length_is_opened_again():
    content = b"".join(
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(one), one)
        for one in map(jpeg, greys(6))
    )

    def route(request):
        request.begin("multipart/x-mixed-replace; boundary=frame", 9_999_999)
        request.wfile.write(content)
        request.close_connection = True

    with WebServer({"cam": route}) as server, Reading(open_source(server.url("cam"))) as reading:
        reading.until(lambda: "reconnected" in reading.kinds)


def test_a_recorded_playlist_ends():
    pieces = [b"".join(ts_pieces(greys(24)[k * 6 : k * 6 + 6], fps=20, start=k * 6)) for k in range(3)]
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"]
    for k in range(3):
        lines += ["#EXTINF:0.3,", f"{k}.ts"]
    routes = {f"vod/{k}.ts": body(piece, "video/mp2t") for k, piece in enumerate(pieces)}
    routes["vod/list.m3u8"] = body("\n".join([*lines, "#EXT-X-ENDLIST"]).encode(), "application/x-mpegurl")
    master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=64x48\nvod/list.m3u8\n"
    routes["master.m3u8"] = body(master.encode(), "text/plain")
    with WebServer(routes) as server:
        reading = read(server.url("master.m3u8"))
    assert reading.kinds == ["opened", "ended"]
    assert len(reading.frames) >= 17
    assert "/vod/2.ts" in server.requests


def test_pieces_are_looked_for_where_a_playlist_was_sent_on_to():
    routes = {"edge/0.ts": body(b"".join(ts_pieces(greys(6), fps=20)), "video/mp2t")}
    listed = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.3,\n0.ts\n#EXT-X-ENDLIST\n"
    routes |= {"edge/list": body(listed, "application/x-mpegurl"), "live.m3u8": sends_on("/edge/list")}
    with WebServer(routes) as server:
        reading = read(server.url("live.m3u8"))
    assert reading.kinds == ["opened", "ended"]


MD5, SHA256 = (f'Digest realm="a", nonce="b", qop="auth", algorithm={one}' for one in ("MD5", "SHA-256"))


@pytest.mark.parametrize(
    ("challenges", "begins"),
    [
        ((MD5, SHA256), "Digest username"),
        (('Basic realm="a"', SHA256, MD5), "Digest username"),
        (('Basic realm="a"',), "Basic "),
        ((), "Basic "),
        ((SHA256,), None),
        (('Digest realm="a", nonce="b", qop="auth-int"',), None),
        (("Digest what",), None),
    ],
)
def test_a_login_of_several_kinds_is_one_that_is_known(challenges, begins):
    given = []

    def route(request):
        given.append(request.headers.get("Authorization"))
        request.send_response(401)
        for one in challenges:
            request.send_header("WWW-Authenticate", one)
        request.send_header("Content-Length", "0")
        request.end_headers()

    with WebServer({"cam": route}) as server, Reading(open_source(server.url("cam", "u:p@"))) as reading:
        reading.until(lambda: reading.events)
    assert [reading.events[0].kind, given[0]] == ["disconnected", None]
    if begins is None:
        assert "asks for a login that is not known" in reading.events[0].reason
        assert set(given) == {None}
    else:
        assert given[1].startswith(begins)


def test_a_live_playlist_goes_on_for_long():
    with (
        WebServer(playlist(piece_seconds=0.4)) as server,
        Reading(open_source(server.url("live.m3u8"))) as reading,
    ):
        reading.until(lambda: len(reading.frames) > 20)
    assert reading.kinds == ["opened"]
    asked = [path for path in server.requests if "piece" in path]
    assert asked == sorted(set(asked), key=asked.index)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (sends_on("/cam"), "from one address to the next"),
        (body(b"hello", "text/html"), "no video"),
        (body(b"#EXTM3U\n#EXT-X-KEY:METHOD=AES-128\na.ts\n", "application/x-mpegurl"), "encrypted"),
        (body(b"#EXTM3U\n#EXT-X-BYTERANGE:9@0\na.ts\n", "application/x-mpegurl"), "parts of one file"),
        (body(b'#EXTM3U\n#EXT-X-MAP:URI="a",BYTERANGE="9@0"\n', "application/x-mpegurl"), "parts of one"),
        (body(b"nothing", "application/x-mpegurl"), "no playlist"),
        (body(b"#EXTM3U\n" + b"#" * 2**21, "application/x-mpegurl"), "longer than"),
        (lambda request: request.send_error(503), "503"),
        (lambda request: request.wfile.write(b"\x00\x01\x02 what?\r\n\r\n"), "its answer is none"),
    ],
)
def test_what_is_no_video_is_told(route, words):
    with WebServer({"cam": route}) as server:
        reading = read(server.url("cam"))
    assert reading.kinds == ["disconnected"]
    assert words in reading.events[0].reason


def test_a_picture_without_an_end_is_cut(monkeypatch):
    def route(request):
        request.begin("multipart/x-mixed-replace; boundary=frame")
        request.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000000\r\n\r\n")
        while not request.server.is_over.is_set():
            request.wfile.write(bytes(2**20))

    with WebServer({"cam": route}) as server:
        reading = read(server.url("cam"))
    assert "64 MiB" in reading.events[0].reason


def test_login_is_not_carried_to_another_machine():
    seen = []

    def route(request):
        seen.append(request.headers.get("Authorization"))
        mjpeg(endless, fps=20)(request)

    with (
        WebServer({"cam": route}) as other,
        WebServer({"cam": sends_on(other.url("cam"))}) as first,
        Reading(open_source(first.url("cam", "eva:geheim@"))) as reading,
    ):
        reading.more_frames(2)
    assert seen == [None]


def test_playlists_are_parsed():
    text = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=100,RESOLUTION=640x360,CODECS="avc1,mp4a"
low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=1920x1080
high.m3u8
"""
    assert parse_playlist(text).variants == ((230400, 100, "low.m3u8"), (2073600, 900, "high.m3u8"))
    text = '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI="init.mp4"\n'
    text += "#EXTINF:4,\na.m4s\n"
    parsed = parse_playlist(text)
    assert (parsed.pieces, parsed.first_number, parsed.header) == (("a.m4s",), 7, "init.mp4")
    assert (parsed.target_seconds, parsed.is_finished) == (4, False)
    for bad in ("", "<html>", "#EXTM3U8"):
        with pytest.raises(VideoError, match="no playlist"):
            parse_playlist(bad)
