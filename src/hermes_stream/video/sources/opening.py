"""One way to open every source: by its address."""

from __future__ import annotations

import os

from av.codec.hwaccel import hwdevices_available

from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.bytestreams import srt_command
from hermes_stream.video.sources.devices import check_known
from hermes_stream.video.sources.live import LiveSource
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.played import PlayedFile
from hermes_stream.video.sources.policy import SourcePolicy
from hermes_stream.video.sources.source import Source


def open_source(
    address: str | os.PathLike[str],
    options: SourceOptions | None = None,
    *,
    policy: SourcePolicy | None = None,
) -> Source:
    """Return a source of frames; nothing but a file is opened before it is read.

    Args:
        address: a file's path; ``rtsp://``, ``rtsps://``, ``http://`` and ``https://`` (MJPEG, HLS, MPEG-TS),
            ``tcp://`` and ``udp://`` (MPEG-TS), ``rtmp://``, ``rtmps://``, ``srt://``, each with
            USER:PASSWORD@ where it needs them; ``/dev/video0``, ``avfoundation:0``, ``dshow:NAME``;
            ``screen:`` or ``screen::0.0``.
        options: how it is read.
        policy: what may be opened; None for everything, as from a command line.

    Raises:
        ValueError: an option is not as described, or the address is none.
        SourceRefusedError: the policy does not allow the address.
        VideoError: the file cannot be read, or this machine cannot open such sources.
    """
    policy, options = policy or SourcePolicy(), options or SourceOptions()
    where = Address.parse(address)
    policy.check(where)
    if where.kind == "file":
        return PlayedFile(where.path, options)
    _check_can_open(where, options)
    return LiveSource(where, options, policy=policy)


def _check_can_open(address: Address, options: SourceOptions) -> None:
    """Check that this machine has what a kind of source needs, whatever becomes of the source itself.

    Raises:
        ValueError: there is no such kind of hardware to decode on.
        VideoError: there is no program for SRT, no support for such devices.
    """
    if address.scheme == "srt":
        srt_command(address, address.host)
    if address.kind in ("device", "screen"):
        check_known(address)
    if options.hwaccel is not None and options.hwaccel not in hwdevices_available():
        known = ", ".join(hwdevices_available()) or "none"
        raise ValueError(f"hwaccel is {options.hwaccel!r}; accepted by this FFmpeg: {known}")
