"""How local cameras and screens are opened; the arguments of macOS and Windows are not run here."""

from __future__ import annotations

import shutil
import sys

import pytest

from hermes_stream.errors import VideoError
from hermes_stream.video import SourceOptions, open_source
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.bytestreams import srt_command
from hermes_stream.video.sources.devices import camera_elsewhere, device_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="FFmpeg knows V4L2 and X on Linux alone")


@linux
def test_a_screen():
    device = device_of(Address.parse("screen::7.0"), fps=2.0)
    assert (device.name, device.format, device.options["framerate"]) == (":7.0", "x11grab", "2")


@linux
def test_a_screen_without_a_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(VideoError, match="DISPLAY"):
        device_of(Address.parse("screen:"), fps=None)
    with pytest.raises(VideoError, match="DISPLAY"):  # it would be tried for ever
        open_source("screen:")
    monkeypatch.setenv("DISPLAY", ":3")
    assert device_of(Address.parse("screen:"), fps=None).name == ":3"


@linux
def test_a_camera_of_linux(tmp_path):
    for text in ("/dev/null", "v4l2:/dev/null"):
        address = Address.parse("v4l2:/dev/null" if text == "/dev/null" else text)
        device = device_of(address, fps=None)
        assert (device.name, device.format) == ("/dev/null", "video4linux2,v4l2")
    with pytest.raises(VideoError, match="no such camera"):
        device_of(Address.parse("/dev/video99"), fps=None)
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match="no device"):
        device_of(Address.parse(f"v4l2:{tmp_path}/file"), fps=None)


def test_cameras_elsewhere():
    mac = camera_elsewhere(Address.parse("avfoundation:1"))
    assert (mac.name, mac.format, mac.options["framerate"]) == ("1:none", "avfoundation", "30")
    windows = camera_elsewhere(Address.parse("dshow:Integrated Camera"))
    assert (windows.name, windows.format) == ("video=Integrated Camera", "dshow")
    assert camera_elsewhere(Address.parse("dshow:video=X")).name == "video=X"


@linux
def test_what_this_ffmpeg_does_not_know_is_said_at_once():
    for text in ("avfoundation:0", "dshow:Camera"):
        with pytest.raises(VideoError, match="not here"):
            open_source(text)


def test_srt_needs_a_program(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(VideoError, match="install"):
        open_source("srt://127.0.0.1:9000")
    assert shutil.which("ffmpeg") is None


def test_srt_is_read_from_a_checked_number(monkeypatch, tmp_path):
    program = tmp_path / "ffmpeg"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = srt_command(Address.parse("srt://camera.example:9000?latency=20"), "10.0.0.7")
    assert command[0] == str(program)
    assert "srt://10.0.0.7:9000?latency=20" in command
    assert "srt,pipe" in command


def test_hardware_that_ffmpeg_does_not_know():
    with pytest.raises(ValueError, match="accepted by this FFmpeg"):
        open_source("rtsp://127.0.0.1/cam", SourceOptions(hwaccel="abacus"))
