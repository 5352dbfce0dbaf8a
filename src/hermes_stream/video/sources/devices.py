"""How FFmpeg is told to open local cameras and screens."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import av

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import readable
from hermes_stream.video.sources.address import Address

_FORMATS = {
    "v4l2": "video4linux2,v4l2",
    "avfoundation": "avfoundation",
    "dshow": "dshow",
    "screen": "x11grab",
}
_SYSTEMS = {"v4l2": "Linux", "avfoundation": "macOS", "dshow": "Windows", "screen": "Linux with X"}
_SCREEN_FPS = 5
_BUFFER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What FFmpeg's devices are opened with.

    Attributes:
        name: of the device, as its format wants it.
        format: FFmpeg's name of the kind of device.
        options: for it.
    """

    name: str
    format: str
    options: dict[str, str] = field(default_factory=dict)


def device_of(address: Address, *, fps: float | None) -> Device:
    """Return how FFmpeg opens a local camera or a screen.

    Args:
        address: ``/dev/video0``, ``avfoundation:0``, ``dshow:NAME``, ``screen:`` or ``screen::0.0``.
        fps: frames per second that are taken; a screen is looked at as often.

    Raises:
        VideoError: this FFmpeg knows no such devices, or there is no such device.
    """
    kind = address.scheme
    check_known(address)
    if kind == "v4l2":
        _check_device(address)
        return Device(name=address.path, format=_FORMATS[kind], options={"timestamps": "abs"})
    if kind == "screen":
        rate = _SCREEN_FPS if fps is None else max(1.0, fps)
        options = {"framerate": f"{rate:g}", "draw_mouse": "1"}
        return Device(name=_display(address), format=_FORMATS[kind], options=options)
    return camera_elsewhere(address)


def check_known(address: Address) -> None:
    """Check that this FFmpeg knows devices of a kind, and that a screen is named.

    Raises:
        VideoError: it does not, or none is.
    """
    kind = address.scheme
    if _FORMATS[kind] not in av.formats_available:
        raise VideoError(
            f"{address.shown}: devices of {kind} are known to FFmpeg on {_SYSTEMS[kind]} alone, not here"
        )
    if kind == "screen":
        _display(address)


def camera_elsewhere(address: Address) -> Device:
    """Return how FFmpeg opens a camera on macOS or Windows."""
    if address.scheme == "avfoundation":
        options = {"framerate": "30", "pixel_format": "nv12"}  # other rates are refused by most cameras
        return Device(name=f"{address.path or '0'}:none", format="avfoundation", options=options)
    name = address.path.removeprefix("video=")
    return Device(name=f"video={name}", format="dshow", options={"rtbufsize": str(_BUFFER_BYTES)})


def _display(address: Address) -> str:
    display = address.path or os.environ.get("DISPLAY", "")
    if not display:
        raise VideoError(
            "screen: names no X display, and DISPLAY is not set; accepted: screen::0.0 and the like"
        )
    return display


def _check_device(address: Address) -> None:
    name = readable(address.path)
    try:
        mode = Path(address.path).stat().st_mode
    except OSError as error:
        raise VideoError(
            f"{name}: there is no such camera ({error.strerror}); list them by ls /dev/video*"
        ) from None
    if not stat.S_ISCHR(mode):
        raise VideoError(f"{name} is no device; give /dev/video0 and the like")
