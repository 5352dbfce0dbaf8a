"""What happens to a live source when its camera misbehaves, against a real RTSP server."""

from __future__ import annotations

import socket
import time
from itertools import pairwise

import numpy as np
import pytest
from tests.video.clips import MEDIA, encode, greys
from tests.video.live_servers import WebServer, endless, ts_over_tcp, ts_pieces
from tests.video.reading import Reading

from hermes_stream.video import SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.sources.source import ClockPoint, SourceState

FPS = 20


def camera(port=0, *, height=48, width=64, codec="h264", **how):
    server = RtspServer(port=port, **how)
    server.add("cam", endless(height=height, width=width), fps=FPS, codec=codec, key_frame_seconds=0.25)
    return server


def increase(times):
    return all(later > earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("transport", "other"),
    [
        ("tcp", {"height": 96, "width": 128}),
        ("udp", {"codec": "h265"}),
        ("tcp", {"codec": "mjpeg", "height": 32}),
    ],
)
def test_a_camera_dies_and_comes_back_as_another(transport, other):
    server = camera()
    source = open_source(server.url("cam"), SourceOptions(transport=transport))
    with Reading(source) as reading:
        reading.more_frames()
        server.close()
        reading.until(lambda: "disconnected" in reading.kinds)
        assert source.stats.state is SourceState.RECONNECTING
        assert source.stats.reason == "it closed the connection"
        num_before = len(reading.frames)
        time.sleep(0.7)  # the first new try finds nobody
        with camera(server.port, **other):
            reading.more_frames()
            assert source.stats.state is SourceState.LIVE
            assert source.stats.num_failed_tries == 0
            source.stop()
            reading.ended()
    assert reading.kinds == ["opened", "disconnected", "reconnected", "gap", "format_changed"]
    gap = reading.events[3]
    last, first = reading.times[num_before - 1 : num_before + 1]
    assert last <= gap.pts_seconds + 0.2
    assert gap.gap_seconds == pytest.approx(first - gap.pts_seconds, abs=0.2)
    assert 0.7 < gap.gap_seconds < 5
    assert increase(reading.times)
    assert reading.frames[-1].image.shape[:2] == (other.get("height", 48), other.get("width", 64))
    stats = source.stats
    assert (stats.num_reconnections, stats.num_gaps) == (1, 1)
    assert stats.gap_seconds == pytest.approx(gap.gap_seconds)
    assert stats.codec == {"h265": "hevc"}.get(other.get("codec"), other.get("codec", "h264"))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_counts_as_dead(transport):
    with camera() as server:
        source = open_source(server.url("cam"), SourceOptions(transport=transport, silent_seconds=0.6))
        with Reading(source) as reading:
            reading.more_frames()
            server.freeze()
            reading.until(lambda: "disconnected" in reading.kinds)
            assert "no picture came" in reading.events[-1].reason
            server.freeze(False)
            reading.more_frames()
    assert reading.kinds[:4] == ["opened", "disconnected", "reconnected", "gap"]
    assert increase(reading.times)


def test_a_gap_ends_with_a_picture_and_not_with_the_first_packet():
    with RtspServer() as server:
        # Pictures of this file wait for later ones, so that a packet comes before there is a picture.
        url = server.add("file", MEDIA / "h265_video.mp4", repeat=True)
        with Reading(open_source(url)) as reading:
            reading.more_frames()
            server.cut_off()
            reading.until(lambda: "gap" in reading.kinds)
    assert reading.kinds[:4] == ["opened", "disconnected", "reconnected", "gap"]
    assert reading.events[3].gap_seconds > 0.4
    assert reading.events[2].pts_seconds > reading.events[1].pts_seconds + 0.4


def test_stopping_a_frozen_camera_takes_less_than_a_second():
    with camera() as server:
        source = open_source(server.url("cam"))
        with Reading(source) as reading:
            reading.more_frames()
            server.freeze()
            time.sleep(0.2)
            began = time.monotonic()
            source.stop()
            reading.ended()
            assert time.monotonic() - began < 1


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp", "rtmp"])
def test_stopping_while_nobody_answers_takes_less_than_a_second(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = open_source(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/cam")
        with Reading(source) as reading:
            time.sleep(0.3)
            began = time.monotonic()
            source.stop()
            reading.ended()
            assert time.monotonic() - began < 1
    assert reading.items == []


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_lost_packets_cost_pictures_and_nothing_else(transport):
    with RtspServer(loss=0.02, seed=1) as server:
        texture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        server.add("cam", (np.roll(texture, k, axis=1) for k in range(10**6)), fps=25, key_frame_seconds=0.5)
        source = open_source(server.url("cam"), SourceOptions(transport=transport))
        with Reading(source) as reading:
            reading.until(lambda: source.stats.num_damaged > 3, 20)
            reading.more_frames()
    assert reading.kinds[0] == "opened"
    assert "disconnected" not in reading.kinds
    assert increase(reading.times)


def test_a_clock_that_starts_again_moves_no_time_back():
    both = ts_pieces(greys(20), fps=FPS, start=20_000) + ts_pieces(greys(20) * 2, fps=FPS)
    with ts_over_tcp(both, fps=FPS) as url, Reading(open_source(url)) as reading:
        reading.until(lambda: len(reading.frames) >= 34)
    assert increase(reading.times)
    assert reading.times[0] == pytest.approx(0, abs=0.2)
    assert reading.times[33] == pytest.approx(34 / FPS, abs=1)
    assert reading.kinds == ["opened"]


def test_key_frames_alone_are_decoded_where_they_come_often_enough():
    many, few = ts_pieces(greys(24), fps=FPS, gop=4), ts_pieces(greys(24) * 2, fps=FPS, start=24, gop=20)
    with ts_over_tcp(many + few, fps=FPS) as url:
        source = open_source(url, SourceOptions(fps=4))
        with Reading(source) as reading:
            reading.until(lambda: source.stats.key_frames_only)
            reading.more_frames(2)
            reading.until(lambda: not source.stats.key_frames_only)
            reading.more_frames(1)
    assert increase(reading.times)


def test_frames_are_sampled_by_time():
    with camera() as server, Reading(open_source(server.url("cam"), SourceOptions(fps=4))) as reading:
        reading.more_frames(6)
    steps = [later - earlier for earlier, later in pairwise(reading.times)]
    assert np.mean(steps) == pytest.approx(0.25, abs=0.06)
    assert reading.source.stats.num_pictures > 2 * len(reading.frames)


def test_only_key_frames_if_one_says_so():
    options = SourceOptions(key_frames_only=True)
    with camera() as server, Reading(open_source(server.url("cam"), options)) as reading:
        reading.more_frames(4)
    assert min(later - earlier for earlier, later in pairwise(reading.times)) > 0.18


def test_pictures_are_shrunk_turned_masked_and_cut():
    options = SourceOptions(
        max_image_pixels=400,
        rotation=90,
        crop=(0, 0.5, 1, 0.5),
        privacy_mask=(((0, 0), (0.5, 0), (0.5, 1), (0, 1)),),
    )
    pictures = (np.full((48, 64, 3), 200, np.uint8) for _ in range(10**6))
    with RtspServer() as server:
        server.add("cam", pictures, fps=FPS, key_frame_seconds=0.25)
        with Reading(open_source(server.url("cam"), options)) as reading:
            reading.more_frames(1)
    image = reading.frames[0].image
    height, width = image.shape[:2]
    assert height * width <= 400
    assert (height, width) == (16, 24)
    assert image[:, : width // 2].max() == 0
    assert image[:, width // 2 + 2 :].min() > 190


def test_a_stream_goes_on_where_it_stood():
    point = ClockPoint(zero_wall_seconds=time.time() - 1000, newest_seconds=900.0)
    with camera() as server, Reading(open_source(server.url("cam"), SourceOptions(goes_on=point))) as reading:
        reading.more_frames()
    assert reading.times[0] == pytest.approx(1000, abs=5)
    assert reading.source.stats.zero_wall_seconds == point.zero_wall_seconds
    late = ClockPoint(zero_wall_seconds=time.time(), newest_seconds=900.0)
    with camera() as server, Reading(open_source(server.url("cam"), SourceOptions(goes_on=late))) as reading:
        reading.more_frames()
    assert 900 < reading.times[0] < 901


def test_outside_its_schedule_nothing_is_opened():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        today = time.strftime("%a", time.gmtime(time.time() + 3 * 86400)).lower()
        options = SourceOptions(schedule=f"{today} 10:00-11:00", time_zone="UTC")
        source = open_source(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam", options)
        with Reading(source) as reading:
            reading.until(lambda: reading.kinds == ["sleeping"])
            assert source.stats.state is SourceState.SLEEPING
            assert "watched from" in source.stats.reason
            with pytest.raises(TimeoutError):
                listener.accept()


def test_a_camera_that_is_not_there_is_tried_again_and_told_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    source = open_source(f"rtsp://127.0.0.1:{port}/cam")
    with Reading(source) as reading:
        reading.until(lambda: source.stats.num_failed_tries >= 2)
        assert source.stats.state is SourceState.OPENING
        assert "refused" in source.stats.reason
        assert reading.kinds == ["disconnected"]
        with camera(port):
            reading.more_frames()
    assert reading.kinds[:2] == ["disconnected", "opened"]


def test_a_source_that_opens_and_shows_nothing_is_told_once_and_tried_less_and_less(tmp_path, monkeypatch):
    monkeypatch.setattr("hermes_stream.video.sources.live._FIRST_DELAY_SECONDS", 0.02)
    file = encode(tmp_path / "a.mkv", greys(25)).read_bytes()

    def route(request):
        request.begin("video/x-matroska")
        request.wfile.write(file[: len(file) // 3])  # enough to know what comes, and less than a picture
        request.close_connection = True

    with WebServer({"cam": route}) as server, Reading(open_source(server.url("cam"))) as reading:
        reading.until(lambda: len(server.requests) >= 4)
    assert reading.kinds == ["disconnected"]
    assert reading.source.stats.num_failed_tries >= 3


def test_a_wrong_password_is_said():
    with camera(credentials=("eva", "secret")) as server:
        url = server.url("cam").replace("//", "//eva:wrong@")
        with Reading(open_source(url)) as reading:
            reading.until(lambda: reading.kinds == ["disconnected"])
    assert "password" in reading.events[0].reason


def test_hardware_that_is_not_here_leaves_it_to_software(caplog):
    with (
        camera() as server,
        Reading(open_source(server.url("cam"), SourceOptions(hwaccel="cuda"))) as reading,
    ):
        reading.more_frames()
    assert reading.kinds == ["opened"]
    if caplog.text:  # none where there is such hardware
        assert "nothing is decoded on cuda" in caplog.text


def test_addresses_of_version_six():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine speaks IPv4 alone")
    with RtspServer(host="::1") as server:
        server.add("cam", endless(), fps=FPS, key_frame_seconds=0.25)
        assert server.url("cam").startswith("rtsp://[::1]:")
        with Reading(open_source(server.url("cam"), SourceOptions(transport="udp"))) as reading:
            reading.more_frames()
