"""Opening a local container safely, and choosing the picture stream in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.stream import Disposition

from hermes_stream.errors import VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg checks this list before it reads a header. A list of what is read, not of what is refused: playlists
# (hls, dash, concat, sdp, imf) open other files and hosts, and rarely used formats are rarely tested.
_FORMATS = (
    "3gp apng asf av1 avi dv flv gif gxf h261 h263 h264 hevc ivf live_flv m4v matroska mjpeg mov mp4 mpeg "
    "mpegts mpegvideo mxf nut obu ogg rm vc1 vvc webm wtv yuv4mpegpipe "
    "bmp_pipe jpeg_pipe png_pipe tiff_pipe webp_pipe "
    "aac ac3 aiff amr ape caf eac3 flac mp3 wav w64"
)
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS.split())}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def open_container(path: Path, *, max_pixels: int) -> InputContainer:
    """Open a local file so that it can read neither the network nor any other file.

    Args:
        path: a local file.
        max_pixels: pictures with more pixels are never allocated.

    Raises:
        VideoError: it is missing, no regular file, empty, or no container that is read.
    """
    if path.is_dir():
        raise VideoError(f"{path} is a folder; give the path of one video file in it")
    if not path.exists():
        raise VideoError(f"{path} does not exist; check the path (relative paths start at {Path.cwd()})")
    if not path.is_file():
        raise VideoError(f"{path} is not a regular file; devices and pipes are not read, give a video file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); its copy or recording never finished, make it again")
    try:
        options = _OPEN_OPTIONS | {"max_pixels": str(max_pixels)}
        return av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise VideoError(_why_not_opened(path, error)) from error


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that is not a URL.

    Raises:
        VideoError: it is a URL.
    """
    text = os.fspath(path)
    if "://" in text or (_URL.match(text) and not Path(text).exists()):
        raise VideoError(
            f"{text} is a URL; this version reads local files: download it and give the file's path"
        )
    return Path(text)


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
    stream = _best(container, path) if video_stream is None else _numbered(container, path, video_stream)
    if stream.codec_context is None:
        raise VideoError(f"{path}: this FFmpeg has no decoder for its video; convert it to H.264 in MP4")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        raise VideoError(
            f"{path}: its pictures have {width} x {height} = {width * height} pixels, at most "
            f"{max_pixels} are decoded; scale it down, or raise max_pixels if you trust the file"
        )
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    return stream


def _best(container: InputContainer, path: Path) -> VideoStream:
    candidates = [stream for stream in container.streams.video if not _is_cover(stream)]
    if candidates:
        best = container.streams.best("video")
        return best if best in candidates else candidates[0]
    if container.streams.video:
        raise VideoError(
            f"{path} holds sound and a cover picture but no video; give a file with moving pictures"
        )
    kinds = " and ".join(sorted({stream.type for stream in container.streams})) or "an empty container"
    raise VideoError(f"{path} holds no video, only {kinds}; give a file with moving pictures")


def _numbered(container: InputContainer, path: Path, video_stream: int) -> VideoStream:
    streams = container.streams.video
    if not 0 <= video_stream < len(streams):
        accepted = f"accepted: 0 to {len(streams) - 1}" if streams else "give a file with moving pictures"
        raise VideoError(f"{path} has no video stream {video_stream}; it has {len(streams)} ({accepted})")
    return streams[video_stream]


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _why_not_opened(path: Path, error: av.error.FFmpegError) -> str:
    if isinstance(error, av.error.ArgumentError):
        return (
            f"{path} is a playlist or another format that is not read, since it may name other files; give a "
            "single video file such as mp4, mkv, webm, mov, avi or ts"
        )
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return (
            f"{path} is not a video, or was cut short before its index was written ({error.strerror}); check "
            "that it plays elsewhere, or record or download it again"
        )
    return f"{path} could not be opened: {error.strerror}; check its permissions, and that it plays elsewhere"
