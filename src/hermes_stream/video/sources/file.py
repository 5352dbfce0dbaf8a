"""Frames of a local video file.

It knows containers and codecs through PyAV alone; it knows nothing about playlists, networks or models.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, final

import av
import numpy as np
from av.codec.context import ThreadType
from av.error import FFmpegError
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.sampling import checked_fps, on_screen
from hermes_stream.video.sources.container import choose_video_stream, local_path, open_container
from hermes_stream.video.sources.decoding import Picture, PictureDecoder
from hermes_stream.video.sources.pixels import RgbConverter

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_logger = logging.getLogger(__name__)

# Formats whose declared duration is the time of the end, counted from 0 and not from the first picture.
_END_FORMATS = ("matroska", "flv")
_END_TAG = "DURATION"  # of a Matroska stream
_END_TIME = re.compile(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d*)?)")


@final
class FileSource:
    """An iterable of the frames of a local video file, upright and in RGB.

    Each iteration opens the file anew. Times are the file's own, late start included, and increase strictly.
    With ``fps``, sampled as by ``sample_frames``: what sampling passes over is decoded, but never converted.
    All images have one size: where the picture changes size within the file, it is scaled to the first. High
    dynamic range is mapped to ordinary pictures. A file that breaks in the middle yields what is good, then
    stops; ``damage`` says what broke, and a warning is logged.

    Attributes:
        path: the file.
        fps: frames sampled per second, ``None`` for every frame.
        start_seconds: time of the first frame.
        duration_seconds: length that the file declares, ``None`` if it declares none; an estimate in formats
            without an index.
        width: width of the images after rotation, in pixels.
        height: height of the images after rotation, in pixels.
        fps_native: the file's average frame rate, ``None`` if unknown.
        codec: the codec's name, such as ``h264``.
        damage: what broke in the latest iteration, ``None`` if nothing did.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float | None = None,
        video_stream: int | None = None,
        max_pixels: int = 8192 * 8192,
    ) -> None:
        """Open the file, decode its first picture to learn what it holds, and close it.

        Args:
            path: a local file.
            fps: frames to sample per second, finite and above 0; ``None`` for every frame.
            video_stream: which video stream, counted from 0; ``None`` for the best, cover pictures aside.
            max_pixels: the most pixels that a picture may have, against files made to exhaust memory.

        Raises:
            ValueError: ``fps`` is not finite and above 0.
            VideoError: the file is missing, no video, damaged before its first picture, or a URL.
        """
        self.path = local_path(path)
        self.fps = None if fps is None else checked_fps(fps)
        self.damage: str | None = None
        self._video_stream = video_stream
        self._max_pixels = max_pixels
        self._known_end_seconds: float | None = None
        with self._opened() as (container, stream):
            self.codec = stream.codec_context.codec.canonical_name
            self.fps_native = _native_fps(container, stream)
            first = self._first_picture(container, stream)
            self.start_seconds = first.pts_seconds
            self.duration_seconds = _declared_seconds(container, stream, start_seconds=self.start_seconds)
            # The container's length may be that of its sound: only the stream's own tells a file cut short.
            if self.duration_seconds is not None and _declares_own_length(stream):
                self._known_end_seconds = self.start_seconds + self.duration_seconds
            self.height, self.width = self._converted(RgbConverter(), first).shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start; the file is closed at the end, also of an abandoned iteration.

        Raises:
            VideoError: the file is no longer what it was, or its pictures have no conversion to RGB.
        """
        self.damage = None
        with self._opened() as (container, stream):
            stream.thread_type = ThreadType.AUTO
            decoder = PictureDecoder(container, stream, known_end_seconds=self._known_end_seconds)
            try:
                with closing(decoder.pictures()) as pictures:
                    yield from self._frames(pictures)
                if decoder.num_pictures == 0:
                    raise self._no_picture(decoder)
            finally:
                self.damage = decoder.damage
                if self.damage:
                    _logger.warning("%s is damaged: %s", self.path, self.damage)

    def _frames(self, pictures: Iterator[Picture]) -> Iterator[Frame]:
        converter = RgbConverter()
        if self.fps is None:
            timed: Iterator[tuple[float, Picture]] = ((one.pts_seconds, one) for one in pictures)
        else:
            timed = on_screen(pictures, fps=self.fps)
        for pts_seconds, picture in timed:
            duration_seconds = picture.duration_seconds if self.fps is None else 1 / self.fps
            image = self._converted(converter, picture)
            yield Frame(pts_seconds=pts_seconds, image=image, duration_seconds=duration_seconds)

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        with open_container(self.path, max_pixels=self._max_pixels) as container:
            stream = choose_video_stream(
                container, self.path, video_stream=self._video_stream, max_pixels=self._max_pixels
            )
            yield container, stream

    def _first_picture(self, container: InputContainer, stream: VideoStream) -> Picture:
        decoder = PictureDecoder(container, stream, known_end_seconds=None)
        with closing(decoder.pictures()) as pictures:
            for picture in pictures:
                return picture
        raise self._no_picture(decoder)

    def _no_picture(self, decoder: PictureDecoder) -> VideoError:
        return VideoError(
            f"{self.path}: no picture of its {self.codec} video could be decoded "
            f"({decoder.damage or 'it holds none'}); record or download it again"
        )

    def _converted(self, converter: RgbConverter, picture: Picture) -> NDArray[np.uint8]:
        try:
            return converter.convert(picture.decoded)
        except FFmpegError as error:
            raise VideoError(
                f"{self.path}: pictures in {picture.decoded.format.name}, colour space "
                f"{picture.decoded.colorspace}, have no conversion to RGB ({error.strerror}); convert it "
                "to H.264, yuv420p"
            ) from error


def _native_fps(container: InputContainer, stream: VideoStream) -> float | None:
    # A raw stream has no times to average over: FFmpeg then reports 25, whatever the codec's headers say.
    is_timed = container.duration is not None
    rate = (stream.average_rate if is_timed else stream.guessed_rate) or stream.guessed_rate
    return float(rate) if rate else None


def _declared_seconds(
    container: InputContainer, stream: VideoStream, *, start_seconds: float
) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif (end := _tagged_end_seconds(stream)) is not None:
        seconds = end - start_seconds
    elif container.duration is not None:
        seconds = container.duration / av.time_base
        if container.format.name.startswith(_END_FORMATS):
            seconds -= start_seconds
    else:
        return None
    return seconds if seconds > 0 else None


def _tagged_end_seconds(stream: VideoStream) -> float | None:
    match = _END_TIME.fullmatch(stream.metadata.get(_END_TAG, ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _declares_own_length(stream: VideoStream) -> bool:
    is_alone = len(stream.container.streams) == 1
    return stream.duration is not None or _tagged_end_seconds(stream) is not None or is_alone
