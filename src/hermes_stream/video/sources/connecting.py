"""One try to open a live source, whatever its kind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final
from urllib.parse import quote

import av
from av.codec.hwaccel import HWAccel

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.bytestreams import (
    DatagramStream,
    ProgramStream,
    SocketStream,
    srt_command,
)
from hermes_stream.video.sources.container import FILE_FORMATS, check_size, make_ready
from hermes_stream.video.sources.devices import Device, device_of
from hermes_stream.video.sources.dialing import Access, dial, resolve
from hermes_stream.video.sources.lifeline import Lifeline
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.playlist import CONTENT_TYPES, PlaylistStream
from hermes_stream.video.sources.policy import SourcePolicy
from hermes_stream.video.sources.relay import Relay
from hermes_stream.video.sources.web import WebStream, open_web

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_logger = logging.getLogger(__name__)
# Enough to learn size and codec; the defaults wait for seconds to learn the rate, a minute at one a minute.
_PROBING = {"analyzeduration": "500000", "fpsprobesize": "1"}
_RTSP_PROTOCOLS = "rtsp,rtp,tcp,udp"
_SECURE = {"rtsps": "rtsp", "rtmps": "rtmp"}
_FORMAT_OF_TYPE = {
    "multipart/x-mixed-replace": "mpjpeg",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
}
_NO_CLOCK = ("mpjpeg",)  # FFmpeg makes up 25 pictures a second
_HLS_SILENT_PIECES = 4
_WAITING_BYTES = 4 * 2**20
_OPENING_SECONDS = 30.0  # the relay ends it earlier, over UDP too, where nothing is said
_ADVICE = {
    "HTTPUnauthorizedError": "user name or password are missing or wrong; write rtsp://USER:PASSWORD@HOST/PATH",
    "HTTPForbiddenError": "it refuses access",
    "HTTPNotFoundError": "it knows no such path",
    "ConnectionRefusedError": "nothing listens there",
    "ExitError": "no picture came in time",
    "EOFError": "it closed the connection",
    "InvalidDataError": "what it sends is no video that is read",
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An open live source.

    Attributes:
        container: what packets are read from.
        stream: the pictures in it.
        has_clock: tells whether its times mean anything; else it is when they arrive.
        is_finite: tells whether it is a recording, whose end is an end.
        body: what it is read from, where that is one answer over HTTP.
        opened: closes the container, and then what lies behind it.
    """

    container: InputContainer
    stream: VideoStream
    has_clock: bool
    is_finite: bool
    opened: ExitStack
    body: WebStream | None = None

    def close(self) -> None:
        """Close everything, in the thread that reads: anything else ends in a segmentation fault."""
        self.opened.close()


def connect(
    address: Address,
    options: SourceOptions,
    *,
    policy: SourcePolicy,
    lifeline: Lifeline,
    find_device: Callable[..., Device] = device_of,
) -> Connection:
    """Open a live source once.

    Args:
        address: where it is.
        options: how it is read.
        policy: what may be reached.
        lifeline: when to give up.
        find_device: says how FFmpeg opens a local device; another one where a camera is to be imitated.

    Raises:
        SourceRefusedError: the policy does not allow what it leads to.
        VideoError: it cannot be opened; the message holds no user name and no password.
    """
    with ExitStack() as opened:
        access = Access(policy=policy, lifeline=lifeline, verify_tls=options.verify_tls)
        opening = _Opening(address, options, access, opened)
        try:
            if address.kind == "network":
                container = opening.network()
            else:
                container = opening.device(find_device(address, fps=options.fps))
            opened.callback(container.close)
            stream = _chosen_stream(container, address, options)
        except av.error.FFmpegError as error:
            reason = lifeline.why_cut or reason_of(error)
            # from None: FFmpeg's errors carry the whole address
            raise VideoError(f"{address.shown} cannot be opened: {reason}") from None
        except RuntimeError as error:
            raise VideoError(f"{address.shown} cannot be opened: {error}") from None
        left_open = opened.pop_all()
    return Connection(
        container=container,
        stream=stream,
        has_clock=container.format.name not in _NO_CLOCK,
        is_finite=opening.is_finite,
        opened=left_open,
        body=opening.body,
    )


@final
class _Opening:
    """Opens a container by its address's scheme; what lies behind goes onto ``opened``."""

    def __init__(self, address: Address, options: SourceOptions, access: Access, opened: ExitStack) -> None:
        self._address, self._options, self._access, self._opened = address, options, access, opened
        self._lifeline = access.lifeline
        self.is_finite = False
        self.body: WebStream | None = None

    def device(self, device: Device) -> InputContainer:
        return self._opened_by_ffmpeg(device.name, device.format, device.options, None)

    def network(self) -> InputContainer:
        scheme = self._address.scheme
        if scheme in ("rtsp", "rtsps", "rtmp", "rtmps"):
            return self._relayed()
        if scheme in ("http", "https"):
            return self._web()
        return self._file(self._bytes(scheme), "mpegts")

    def _bytes(self, scheme: str) -> Any:
        address, lifeline = self._address, self._lifeline
        if scheme == "tcp":
            return SocketStream(dial(address, self._access), lifeline)
        if scheme == "srt":
            number = resolve(address, self._access)[0]
            return ProgramStream(srt_command(address, number), lifeline)
        self._access.policy.check_reached(address, address.host or "0.0.0.0")
        return DatagramStream(address, lifeline)

    def _web(self) -> InputContainer:
        options, lifeline = self._options, self._lifeline
        answer = open_web(self._address, self._access)
        self._opened.callback(answer.close)
        if answer.content_type in CONTENT_TYPES or self._address.path.endswith(".m3u8"):
            playlist = PlaylistStream(
                self._address, answer, access=self._access, max_pixels=options.max_image_pixels
            )
            self.is_finite = playlist.is_finished
            lifeline.silent_seconds = max(
                lifeline.silent_seconds, _HLS_SILENT_PIECES * playlist.target_seconds
            )
            return self._file(playlist, None)
        self.body, form = answer, _FORMAT_OF_TYPE.get(answer.content_type)
        # cameras without an end declare some length all the same
        self.is_finite = answer.num_bytes is not None and form != "mpjpeg"
        return self._file(answer, form)

    def _relayed(self) -> InputContainer:
        address, options = self._address, self._options
        upstream = dial(address, self._access, is_encrypted=address.scheme in _SECURE)
        relay = Relay(upstream, self._lifeline)
        self._opened.callback(relay.close)
        scheme = _SECURE.get(address.scheme, address.scheme)
        login = (
            "" if address.user is None else f"{quote(address.user, '')}:{quote(address.password or '', '')}@"
        )
        url = f"{scheme}://{login}{relay.host_and_port}{address.target}"
        if scheme == "rtmp":
            tc_url = f"rtmp://{address.host_and_port}/{address.path.strip('/').partition('/')[0]}"
            extra = {"protocol_whitelist": "rtmp,tcp", "rtmp_tcurl": tc_url, "rtmp_live": "live"}
        else:
            extra = {"protocol_whitelist": _RTSP_PROTOCOLS, "rtsp_transport": options.transport}
            # No sound is asked for, and the burst of a key frame does not overrun a busy machine.
            extra |= {"allowed_media_types": "video", "buffer_size": str(_WAITING_BYTES)}
        # PyAV's own limit fires after twice its value, and alone sees pictures cease over UDP.
        silent_seconds = self._lifeline.silent_seconds
        return self._opened_by_ffmpeg(url, scheme if scheme == "rtsp" else "flv", extra, silent_seconds)

    def _opened_by_ffmpeg(
        self, url: str, form: str, options: dict[str, str], silent_seconds: float | None
    ) -> InputContainer:
        return av.open(
            url,
            format=form,
            options=_PROBING | {"max_pixels": str(self._options.max_pixels)} | options,
            timeout=None if silent_seconds is None else (_OPENING_SECONDS, silent_seconds / 2),
            hwaccel=self._hardware(),
            metadata_errors="replace",
        )

    def _file(self, file: Any, form: str | None) -> InputContainer:
        self._opened.callback(file.close)
        options = _PROBING | {"max_pixels": str(self._options.max_pixels), "correct_ts_overflow": "0"}
        options |= {
            "protocol_whitelist": "file",
            "format_whitelist": ",".join([*FILE_FORMATS.split(), "mpjpeg"]),
        }
        return av.open(
            file, format=form, options=options, hwaccel=self._hardware(), metadata_errors="replace"
        )

    def _hardware(self) -> HWAccel | None:
        """Return the hardware to decode on, None without it or where it cannot be used now."""
        name = self._options.hwaccel
        if name is None:
            return None
        try:
            HWAccel(name).create(av.Codec("h264", "r"))  # tried, since PyAV has no way back from here
        except (av.error.FFmpegError, NotImplementedError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            _logger.warning("%s: nothing is decoded on %s (%s)", self._address.shown, name, reason)
            return None
        return HWAccel(name)


def _chosen_stream(container: InputContainer, address: Address, options: SourceOptions) -> VideoStream:
    stream: Any = container.streams.best("video")
    if stream is None:
        kinds = " and ".join(sorted({one.type for one in container.streams})) or "nothing"
        raise VideoError(f"{address.shown} sends no video, only {kinds}")
    coder = stream.codec_context
    if coder is None:
        raise VideoError(f"{address.shown}: this FFmpeg has no decoder for its video; let it send H.264")
    check_size(address.shown, coder.width, coder.height, max_pixels=options.max_pixels)
    make_ready(stream, max_pixels=options.max_pixels)
    return stream


def reason_of(error: av.error.FFmpegError) -> str:
    """Return an error of FFmpeg's in words, without the address that it carries."""
    return _ADVICE.get(type(error).__name__) or str(error.strerror).lower()
