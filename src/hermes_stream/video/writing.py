"""Writing frames as a video file, the same bytes for the same frames."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hermes_stream.errors import VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.paths import readable
from hermes_stream.video.sampling import checked_fps

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Encoder = Literal["libx264", "libvpx-vp9"]
# Their options, the one that is taken by itself first. libx264 is under the GPL, libvpx under a BSD licence.
_ENCODERS: dict[Encoder, dict[str, str]] = {
    # x264's fast sums depend on where memory lies, so that the same frames gave other bytes now and then.
    "libx264": {"x264-params": "cpu-independent=1"},
    "libvpx-vp9": {"b": "0", "cpu-used": "4"},
}
_BT709 = 1
_LIMITED_RANGE = 1
_MAX_CRF = 51
_MAX_TICKS = 100_000  # per second, and seconds per frame: what MP4's clock takes with room to spare


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Frame | NDArray[np.uint8]],
    *,
    fps: float,
    crf: int = 18,
    encoder: Encoder | None = None,
) -> int:
    """Write frames as H.264 or VP9 (yuv420p, BT.709) in MP4, at a constant rate; return how many there were.

    The k-th frame is shown at ``k / fps``, whatever its own time. Only even sizes are stored: the last row
    or column of an odd one is doubled. The file appears under its name once it is whole, so that a failure
    leaves what was there before. The same frames give the same bytes (one thread, no dates).

    Args:
        path: where to write, ending in ``.mp4``; its folder must exist.
        frames: frames, or images alone, uint8 RGB ``[height, width, 3]``, all of one size, at least one.
        fps: frames per second, 0.00001 to 100000.
        crf: quality, 0 (best) to 51 (worst).
        encoder: ``libx264`` (H.264) or ``libvpx-vp9`` (VP9); the first that PyAV has here by default.
            Their licences differ: docs/licences.md.

    Returns:
        The number of frames written.

    Raises:
        ValueError: an argument or a frame is not as described.
        VideoError: the file cannot be written.
    """
    rate = Fraction(checked_fps(fps)).limit_denominator(_MAX_TICKS)
    if not 1 / _MAX_TICKS <= rate <= _MAX_TICKS:
        raise ValueError(f"fps is {fps}; accepted: {1 / _MAX_TICKS} to {_MAX_TICKS}")
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path is {path}; the file is MP4, so its name must end in .mp4")
    if not 0 <= crf <= _MAX_CRF:
        raise ValueError(f"crf is {crf}; accepted: 0 (best) to {_MAX_CRF} (worst)")
    encoder = _chosen(encoder)
    _check_folder(path)
    images = _even_images(frames)
    first = next(images, None)
    if first is None:
        raise ValueError("frames is empty; a video needs at least one frame")
    unfinished = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        num_frames = _encode(unfinished, chain([first], images), encoder, rate=rate, crf=crf)
        unfinished.replace(path)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"{readable(path)} cannot be written: {error.strerror}; check permissions and disk space"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return num_frames


def _chosen(encoder: Encoder | None) -> Encoder:
    """Return the encoder that is asked for, or the first that is here.

    Raises:
        ValueError: there is no such encoder.
        VideoError: PyAV was built without it.
    """
    if encoder is not None and encoder not in _ENCODERS:
        raise ValueError(f"encoder is {encoder!r}; accepted: {', '.join(_ENCODERS)}, or None")
    wanted: tuple[Encoder, ...] = tuple(_ENCODERS) if encoder is None else (encoder,)
    for name in wanted:
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            av.Codec(name, "w")
            return name
    raise VideoError(
        f"PyAV was built without {' and '.join(wanted)}, so that no such video can be written; "
        "'pip install av' brings a build that has them"
    )


def _check_folder(path: Path) -> None:
    try:
        if not stat.S_ISDIR(path.parent.stat().st_mode):
            raise NotADirectoryError
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # raises where the name is too long, or none
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(
            f"{readable(path)} cannot be written: there is no folder {readable(path.parent)}; create it first"
        ) from error
    except OSError as error:
        raise VideoError(
            f"{readable(path)} cannot be written: {error.strerror}; check its name, and the permissions of "
            "its folders"
        ) from error
    except ValueError as error:
        raise VideoError(f"{readable(path)} is no name that a file can have ({error})") from error


def _encode(
    path: Path, images: Iterator[NDArray[np.uint8]], encoder: Encoder, *, rate: Fraction, crf: int
) -> int:
    num_frames = 0
    with av.open(f"file:{path.absolute()}", "w", format="mp4") as container:
        stream: VideoStream = container.add_stream(encoder, rate=rate)
        stream.options = {"crf": str(crf), "threads": "1", **_ENCODERS[encoder]}
        stream.pix_fmt = "yuv420p"
        reformatter = VideoReformatter()
        for num_frames, image in enumerate(images, start=1):
            if num_frames == 1:
                stream.height, stream.width = image.shape[:2]
                _tag_colours(stream)
            picture = reformatter.reformat(
                av.VideoFrame.from_ndarray(image, format="rgb24"),
                format=stream.pix_fmt,
                dst_colorspace=_BT709,
                dst_color_range=_LIMITED_RANGE,
            )
            picture.pts, picture.time_base = num_frames - 1, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return num_frames


def _tag_colours(stream: VideoStream) -> None:
    coder = stream.codec_context
    coder.colorspace = coder.color_primaries = coder.color_trc = _BT709
    coder.color_range = _LIMITED_RANGE


def _even_images(frames: Iterable[Frame | NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        image = frame.image if isinstance(frame, Frame) else frame
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(
                f"frame {index} is {image.dtype} {list(image.shape)}; accepted: uint8 [height, width, 3]"
            )
        if shape is not None and image.shape != shape:
            raise ValueError(
                f"frame {index} is {list(image.shape)}, those before it are {list(shape)}; accepted: one size"
            )
        shape = image.shape
        odd_height, odd_width = image.shape[0] % 2, image.shape[1] % 2
        yield np.pad(image, ((0, odd_height), (0, odd_width), (0, 0)), mode="edge")
