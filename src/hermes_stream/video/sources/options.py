"""How a source is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hermes_stream.video.sampling import checked_fps
from hermes_stream.video.sources.framing import Framing
from hermes_stream.video.sources.schedule import Schedule
from hermes_stream.video.sources.source import ClockPoint

_MIN_SILENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How a source is read; what does not apply to a kind of source does nothing there.

    Places in a picture are shares of its width and height, 0 to 1 from the left and from the top, after
    rotation and before cropping: they hold when a camera changes its size.

    Attributes:
        fps: frames to take per second; None for every picture.
        max_image_pixels: shrink larger pictures to at most so many pixels, 1 or more; None does not.
        max_pixels: the most pixels that a picture may have as it comes, against what exhausts memory.
        pace: of a file: ``own`` as it was recorded, ``fast`` as quickly as it is read.
        transport: of RTSP: ``tcp`` or ``udp``.
        key_frames_only: decode key frames alone; None where they come at least as often as frames are taken.
        hwaccel: decode on a device of this kind, such as ``cuda`` or ``vaapi``; software helps out.
        crop: the part of the picture that is seen: left, top, width, height; None for all of it.
        rotation: degrees to turn the picture clockwise: 0, 90, 180 or 270.
        privacy_mask: polygons that are black before anything else sees a picture, each at least three (x, y).
        schedule: when the source is watched, ``mon-fri 08:00-18:00; sat 22:00-06:00``; None for always.
        time_zone: of the schedule, such as ``Europe/Berlin``; None for this machine's.
        verify_tls: check the certificates of https, rtsps and rtmps; cameras mostly sign their own.
        silent_seconds: how long a source may send nothing before it counts as dead.
        goes_on: where the stream's clock stands already; None begins at 0 with the first frame.
    """

    fps: float | None = None
    max_image_pixels: int | None = None
    max_pixels: int = 8192 * 4320
    pace: Literal["own", "fast"] = "own"
    transport: Literal["tcp", "udp"] = "tcp"
    key_frames_only: bool | None = None
    hwaccel: str | None = None
    crop: tuple[float, float, float, float] | None = None
    rotation: int = 0
    privacy_mask: tuple[tuple[tuple[float, float], ...], ...] = ()
    schedule: str | None = None
    time_zone: str | None = None
    verify_tls: bool = True
    silent_seconds: float = 10.0
    goes_on: ClockPoint | None = None

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: one is not as described.
        """
        if self.fps is not None:
            checked_fps(self.fps)
        for name in ("max_image_pixels", "max_pixels"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}; accepted: 1 or more")
        for name, accepted in (("pace", ("own", "fast")), ("transport", ("tcp", "udp"))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted: {' or '.join(accepted)}")
        if not _MIN_SILENT_SECONDS <= self.silent_seconds < float("inf"):
            raise ValueError(
                f"silent_seconds is {self.silent_seconds}; accepted: {_MIN_SILENT_SECONDS} or more"
            )
        _ = self.framing, self.watched

    @property
    def framing(self) -> Framing:
        """What is cut, turned and blacked."""
        return Framing(crop=self.crop, rotation=self.rotation, privacy_mask=self.privacy_mask)

    @property
    def watched(self) -> Schedule | None:
        """When the source is watched; None for always."""
        return None if self.schedule is None else Schedule.parse(self.schedule, time_zone=self.time_zone)
