"""Opening a local container safely, and choosing the picture stream in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import ThreadType
from av.stream import Disposition

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import check_readable, readable
from hermes_stream.video.sources.mp4 import check_sample_counts

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# FFmpeg checks this list before it reads a header. A list of what is read, not of what is refused: playlists
# (hls, dash, concat, sdp, imf) open other files and hosts, and rarely used formats are rarely tested.
FILE_FORMATS = (
    "3gp apng asf av1 avi dv flv gif gxf h261 h263 h264 hevc ivf live_flv m4v matroska mjpeg mov mp4 mpeg "
    "mpegts mpegvideo mxf nut obu ogg rm vc1 vvc webm wtv yuv4mpegpipe "
    "bmp_pipe jpeg_pipe png_pipe tiff_pipe webp_pipe "
    "aac ac3 aiff amr ape caf eac3 flac mp3 wav w64"
)
"""Formats that are read, by FFmpeg's names, separated by blanks."""
_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FILE_FORMATS.split()),
    # FFmpeg would take a broadcast clock that starts again lower for one that has passed its limit, a day
    # later; PictureClock tells the two apart.
    "correct_ts_overflow": "0",
}


def open_container(path: Path, *, max_pixels: int) -> InputContainer:
    """Open a local file so that it can read neither the network nor any other file.

    Args:
        path: a local file.
        max_pixels: pictures with more pixels are never allocated.

    Raises:
        VideoError: it is missing, no regular file, empty, or no container that is read.
    """
    check_readable(path)
    try:
        check_sample_counts(path)
        options = _OPEN_OPTIONS | {"max_pixels": str(max_pixels)}
        return av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise VideoError(_why_not_opened(readable(path), error)) from error
    except OSError as error:
        raise VideoError(
            f"{readable(path)} could not be opened: {error.strerror}; check its permissions"
        ) from error


def choose_video_stream(
    container: InputContainer, path: Path, *, video_stream: int | None, max_pixels: int
) -> VideoStream:
    """Choose the stream to decode and make its decoder ready.

    Args:
        container: an open container.
        path: its path, for messages.
        video_stream: which of its video streams, counted from 0; ``None`` for the one that FFmpeg holds best,
            cover pictures aside.
        max_pixels: the most pixels that a picture may have.

    Raises:
        VideoError: there is no such stream, no decoder for it, or its pictures are too large.
    """
    name = readable(path)
    stream = _best(container, name) if video_stream is None else _numbered(container, name, video_stream)
    if stream.codec_context is None:
        raise VideoError(f"{name}: this FFmpeg has no decoder for its video; convert it to H.264 in MP4")
    check_size(name, stream.codec_context.width, stream.codec_context.height, max_pixels=max_pixels)
    make_ready(stream, max_pixels=max_pixels)
    return stream


def make_ready(stream: VideoStream, *, max_pixels: int) -> None:
    """Set how a stream is decoded: in one thread, no picture larger than allowed.

    Threads that decode several pictures at once lose good ones beside a damaged packet, how many depends on
    the machine, and hang for ever at the end where a program listens to FFmpeg's log.
    """
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    stream.codec_context.thread_type = ThreadType.SLICE
    stream.codec_context.thread_count = 1


def read_packets(container: InputContainer, streams: Sequence[VideoStream]) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams from where the container stands, empty ones left out.

    Raises:
        av.error.FFmpegError: reading broke.
    """
    try:
        for packet in container.demux(*streams):
            if packet.size:  # an empty one would end decoding, mid-file too
                yield packet
    except IndexError:
        pass  # PyAV's, at the end of the file, where streams have appeared in the middle


def check_size(name: str, width: int, height: int, *, max_pixels: int) -> None:
    """Check that pictures are not too large.

    Raises:
        VideoError: they have more than ``max_pixels`` pixels.
    """
    if width * height > max_pixels:
        raise VideoError(
            f"{name}: its pictures have {width} x {height} = {width * height} pixels, at most "
            f"{max_pixels} are decoded; scale it down, or raise max_pixels if you trust the file"
        )


def _best(container: InputContainer, name: str) -> VideoStream:
    candidates = [stream for stream in container.streams.video if not _is_cover(stream)]
    if candidates:
        best = container.streams.best("video")
        chosen = best if best in candidates else candidates[0]
        # A sequence of pictures as phones store it holds its title picture as a stream of one, besides.
        longest = max(candidates, key=lambda stream: stream.frames)
        return longest if chosen.frames == 1 < longest.frames else chosen
    if container.streams.video:
        raise VideoError(
            f"{name} holds sound and a cover picture but no video; give a file with moving pictures"
        )
    kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "an empty container"
    raise VideoError(f"{name} holds no video, only {kinds}; give a file with moving pictures")


def _numbered(container: InputContainer, name: str, video_stream: int) -> VideoStream:
    streams = container.streams.video
    if not 0 <= video_stream < len(streams):
        accepted = f"accepted: 0 to {len(streams) - 1}" if streams else "give a file with moving pictures"
        raise VideoError(f"{name} has no video stream {video_stream}; it has {len(streams)} ({accepted})")
    return streams[video_stream]


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _why_not_opened(name: str, error: av.error.FFmpegError) -> str:
    if isinstance(error, av.error.ArgumentError):
        return (
            f"{name} is a playlist or another format that is not read, since it may name other files; give a "
            "single video file such as mp4, mkv, webm, mov, avi or ts"
        )
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return (
            f"{name} is not a video, or was cut short before its index was written ({error.strerror}); check "
            "that it plays elsewhere, or record or download it again"
        )
    return f"{name} could not be opened: {error.strerror}; check its permissions, and that it plays elsewhere"
