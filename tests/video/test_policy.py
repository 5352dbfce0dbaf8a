"""What may be opened, and that it is asked at every connection."""

from __future__ import annotations

import socket
import threading

import pytest
from tests.video.live_servers import WebServer, body, endless, mjpeg, sends_on
from tests.video.reading import Reading

from hermes_stream.errors import SourceRefusedError
from hermes_stream.video import SourcePolicy, open_source
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.sources.address import Address

LOCAL = ("127.0.0.0/8",)


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("rtsp://10.0.0.7/*", "rtsp://10.0.0.7/live"),
        ("rtsp://10.0.0.7/*", "rtsp://u:p@10.0.0.7:554/live?x=1"),
        ("rtsp://10.0.0.*:8554/cam", "rtsp://10.0.0.9:8554/cam"),
        ("rtsp://cam:*", "rtsp://cam:1234/anything/at/all"),
        ("https://*.example.org/live/*", "https://A.Example.ORG/live/1.m3u8"),
        ("*://cam:*/*", "tcp://cam:9000"),
        ("rtsp://[fd00::1]:554/*", "rtsp://[fd00::1]/x"),
        ("/dev/*", "/dev/null"),
        ("screen:*", "screen::0"),
    ],
)
def test_allowed(pattern, address):
    SourcePolicy(allow=(pattern,)).check(Address.parse(address))


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("rtsp://10.0.0.7/*", "rtsps://10.0.0.7/live"),
        ("rtsp://10.0.0.7/*", "rtsp://10.0.0.7:8554/live"),
        ("rtsp://10.0.0.7/*", "rtsp://10.0.0.7.evil.org/live"),
        ("rtsp://10.0.0.7/*", "rtsp://10.0.0.7@evil.org/live"),
        ("rtsp://10.0.0.7/cams/*", "rtsp://10.0.0.7/cams/../admin"),
        ("rtsp://10.0.0.7/cams/*", "rtsp://10.0.0.7/cams/%2e%2e/admin"),
        ("rtsp://10.0.0.7/cams/*", "rtsp://10.0.0.7/cams/%252e%252e/admin"),
        ("https://*.example.org/*", "https://example.org.evil/x"),
        ("rtsp://10.0.0.7/*", "/etc/passwd"),
        ("/videos/*", "/videos/../etc/passwd"),
        ("/videos/*", "relative.mp4"),
        ("/videos/*", "screen::0"),
        ("rtsp://cam/*", "/dev/video0"),
    ],
)
def test_refused(pattern, address):
    with pytest.raises(SourceRefusedError, match="allow_sources"):
        SourcePolicy(allow=(pattern,)).check(Address.parse(address))


def test_no_link_leads_out_of_a_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "in" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    policy = SourcePolicy(allow=(f"{tmp_path}/in/*",))
    policy.check(Address.parse(tmp_path / "in" / "clip.mp4"))
    with pytest.raises(SourceRefusedError):
        policy.check(Address.parse(tmp_path / "in" / "link.mp4"))


NUMBERS = {
    "8.8.8.8": True,
    "2001:4860:4860::8888": True,
    **dict.fromkeys(("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254"), False),
    **dict.fromkeys(("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"), False),
    **dict.fromkeys(("::1", "::", "fe80::1", "fd00::1", "ff02::1", "fe80::1%eth0"), False),
    **dict.fromkeys(("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"), False),
    **dict.fromkeys(("64:ff9b:1::7f00:1", "64:ff9b:1:ffff::808:808"), False),
}


@pytest.mark.parametrize(("number", "is_public"), NUMBERS.items())
def test_private_numbers_are_not_reached(number, is_public):
    policy, address = SourcePolicy(allow=("*://*:*/*",)), Address.parse("rtsp://name.example/x")
    if is_public:
        policy.check_reached(address, number)
    else:
        with pytest.raises(SourceRefusedError, match="private_networks"):
            policy.check_reached(address, number)
    SourcePolicy().check_reached(address, number)


def test_a_private_network_can_be_allowed():
    policy = SourcePolicy(allow=("*://*:*/*",), private_networks=("192.168.1.0/24",))
    policy.check_reached(Address.parse("rtsp://x/"), "192.168.1.9")
    with pytest.raises(SourceRefusedError):
        policy.check_reached(Address.parse("rtsp://x/"), "192.168.2.9")


@pytest.mark.parametrize(
    "bad", [{"allow": ("cam",)}, {"allow": ("rtsp:/cam",)}, {"private_networks": ("10.0.0.1/8",)}]
)
def test_bad_policies_are_refused(bad):
    with pytest.raises(ValueError, match="accepted"):
        SourcePolicy(**bad)


def test_a_name_is_checked_when_it_is_connected_to():
    with RtspServer() as server:
        server.add("cam", endless(), fps=20, key_frame_seconds=0.25)
        address = server.url("cam").replace("127.0.0.1", "localhost")
        with Reading(open_source(address, policy=SourcePolicy(allow=("rtsp://localhost:*",)))) as reading:
            reading.ended()
        assert reading.kinds == ["failed"]
        assert "private network" in reading.source.stats.reason
        policy = SourcePolicy(allow=("rtsp://localhost:*",), private_networks=LOCAL)
        with Reading(open_source(address, policy=policy)) as reading:
            reading.more_frames()


def test_nothing_leads_to_what_is_not_allowed():
    with WebServer({"cam": mjpeg(endless, fps=20)}) as inner:
        lists = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
        routes = {
            "away": sends_on(inner.url("cam")),
            "list.m3u8": body((lists + inner.url("cam") + "\n").encode(), "application/x-mpegurl"),
            "file.m3u8": body((lists + "file:///etc/passwd\n").encode(), "application/x-mpegurl"),
        }
        with WebServer(routes) as outer:
            policy = SourcePolicy(allow=(outer.url("*"),), private_networks=LOCAL)
            for path in ("away", "list.m3u8", "file.m3u8"):
                with Reading(open_source(outer.url(path), policy=policy)) as reading:
                    reading.until(lambda kinds=reading.kinds: reading.kinds != [])
                assert reading.kinds[0] in ("failed", "disconnected")
                assert not reading.frames
        assert inner.requests == []


def test_a_camera_that_sends_on_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: rtsp://127.0.0.1:1/x\r\n\r\n")
                client.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        with Reading(open_source(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam")) as reading:
            reading.until(lambda: reading.kinds == ["disconnected"])
        thread.join()
    assert "sends on to another address" in reading.events[0].reason
