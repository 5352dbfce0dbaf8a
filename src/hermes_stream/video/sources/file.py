"""Frames of a local video file.

It knows containers and codecs through PyAV alone; it knows nothing about playlists, networks or models.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.paths import local_path, readable
from hermes_stream.video.sampling import checked_fps, on_screen
from hermes_stream.video.sources.clock import BROADCAST_FORMATS
from hermes_stream.video.sources.container import choose_video_stream, open_container
from hermes_stream.video.sources.decoding import Picture, PictureDecoder
from hermes_stream.video.sources.length import (
    declared_seconds,
    declares_own_length,
    measured_seconds,
    native_fps,
)
from hermes_stream.video.sources.pixels import RgbConverter
from hermes_stream.video.sources.still import StillAssembly, is_animated_webp, open_still

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_logger = logging.getLogger(__name__)

_TRIED_PIXELS = 64 * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """An open file: the streams that hold its pictures, mostly one, and what puts tiles together."""

    container: InputContainer
    streams: Sequence[VideoStream]
    assembly: StillAssembly | None

    def decoder(self, *, known_end_seconds: float | None = None) -> PictureDecoder:
        return PictureDecoder(
            self.container, self.streams, assembly=self.assembly, known_end_seconds=known_end_seconds
        )


@final
class FileSource:
    """An iterable of the frames of a local video file, upright and in RGB.

    Each iteration opens the file anew. Times are the file's own, late start included, and increase strictly.
    With ``fps``, sampled as by ``sample_frames``: what sampling passes over is decoded, but never converted.
    All images have one size: where the picture changes size within the file, it is scaled to the first.
    Pixels become square where they are not. High dynamic range is mapped to ordinary pictures. A file that
    breaks in the middle yields what is good, then stops; ``damage`` says what broke, and a warning is logged.

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
        max_image_pixels: int | None = None,
    ) -> None:
        """Open the file, decode its first picture to learn what it holds, and close it.

        Args:
            path: a local file.
            fps: frames to sample per second, above 0, at most 100000; ``None`` for every frame.
            video_stream: which video stream, counted from 0; ``None`` for the best, cover pictures aside.
            max_pixels: the most pixels that a picture may have, against files made to exhaust memory.
            max_image_pixels: shrink larger pictures to at most so many pixels, at least 1, while they become
                RGB: cheaper than shrinking images, most of all with high dynamic range. ``None`` leaves their
                size.

        Raises:
            ValueError: ``fps`` or ``max_image_pixels`` is not as described.
            VideoError: the file is missing, no video, damaged before its first picture, or a URL.
        """
        if max_image_pixels is not None and max_image_pixels < 1:
            raise ValueError(f"max_image_pixels is {max_image_pixels}; accepted: 1 or more, or None")
        self.path = local_path(path)
        self.fps = None if fps is None else checked_fps(fps)
        self.damage: str | None = None
        self._video_stream = video_stream
        self._max_pixels = max_pixels
        self._max_image_pixels = max_image_pixels
        self._known_end_seconds: float | None = None
        with self._opened() as opened:
            container, stream = opened.container, opened.streams[0]
            self.codec = stream.codec_context.codec.canonical_name
            self.fps_native = native_fps(container, stream)
            first = self._first_picture(opened)
            self.start_seconds = first.pts_seconds
            self.duration_seconds = declared_seconds(container, stream, start_seconds=self.start_seconds)
            has_own_length = declares_own_length(stream)
            # Small, since it is only to refuse what has no conversion.
            self._image(self._converter(stream, max_image_pixels=_TRIED_PIXELS), first)
            converter = self._converter(stream, max_image_pixels=max_image_pixels)
            self.width, self.height = converter.size_of(first.decoded)
        if container.format.name in BROADCAST_FORMATS:
            with self._opened() as opened:
                self.duration_seconds = measured_seconds(
                    opened.container, opened.streams[0], declared_seconds=self.duration_seconds
                )
        # The container's length may be that of its sound: only the stream's own tells a file cut short.
        if self.duration_seconds is not None and has_own_length:
            self._known_end_seconds = self.start_seconds + self.duration_seconds

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start; the file is closed at the end, also of an abandoned iteration.

        Raises:
            VideoError: the file is no longer what it was, or its pictures have no conversion to RGB.
        """
        self.damage = None
        with self._opened() as opened:
            decoder = opened.decoder(known_end_seconds=self._known_end_seconds)
            converter = self._converter(opened.streams[0], max_image_pixels=self._max_image_pixels)
            try:
                with closing(decoder.pictures()) as pictures:
                    yield from self._frames(pictures, converter)
                if decoder.num_pictures == 0:
                    raise self._no_picture(decoder)
            finally:
                self.damage = decoder.damage
                if self.damage:
                    _logger.warning("%s is damaged: %s", readable(self.path), self.damage)

    def _frames(self, pictures: Iterator[Picture], converter: RgbConverter) -> Iterator[Frame]:
        if self.fps is None:
            timed: Iterator[tuple[float, Picture]] = ((one.pts_seconds, one) for one in pictures)
        else:
            timed = on_screen(pictures, fps=self.fps)
        for pts_seconds, picture in timed:
            duration_seconds = picture.duration_seconds if self.fps is None else 1 / self.fps
            image = self._image(converter, picture)
            yield Frame(pts_seconds=pts_seconds, image=image, duration_seconds=duration_seconds)

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        with open_container(self.path, max_pixels=self._max_pixels) as container:
            stream = choose_video_stream(
                container, self.path, video_stream=self._video_stream, max_pixels=self._max_pixels
            )
            streams: Sequence[VideoStream] = [stream]
            assembly = None
            if self._video_stream is None:
                streams, assembly = open_still(container, self.path, stream, max_pixels=self._max_pixels)
            yield _Opened(container=container, streams=streams, assembly=assembly)

    def _first_picture(self, opened: _Opened) -> Picture:
        decoder = opened.decoder()
        with closing(decoder.pictures()) as pictures:
            for picture in pictures:
                return picture
        raise self._no_picture(decoder)

    def _no_picture(self, decoder: PictureDecoder) -> VideoError:
        name = readable(self.path)
        if is_animated_webp(self.path):
            return VideoError(f"{name} is an animated WebP, which is not decoded; convert it to MP4 or GIF")
        return VideoError(
            f"{name}: no picture of its {self.codec} video could be decoded "
            f"({decoder.damage or 'it holds none'}); record or download it again"
        )

    def _converter(self, stream: VideoStream, *, max_image_pixels: int | None) -> RgbConverter:
        return RgbConverter(
            pixel_aspect_ratio=stream.sample_aspect_ratio,
            max_image_pixels=max_image_pixels,
            max_pixels=self._max_pixels,
        )

    def _image(self, converter: RgbConverter, picture: Picture) -> NDArray[np.uint8]:
        try:
            return converter.convert(picture.decoded)
        except FFmpegError as error:
            raise VideoError(
                f"{readable(self.path)}: pictures in {picture.decoded.format.name}, colour space "
                f"{picture.decoded.colorspace}, have no conversion to RGB ({error.strerror}); convert it "
                "to H.264, yuv420p"
            ) from error
