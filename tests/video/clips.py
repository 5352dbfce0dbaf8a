"""Makes the clips that the tests read, with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

MEDIA = Path(__file__).parents[1] / "data" / "media"


def greys(count: int, *, height: int = 48, width: int = 64, step: int = 10) -> list[NDArray[np.uint8]]:
    """Flat images of value ``k * step``: what is on screen can be read from one pixel."""
    return [np.full((height, width, 3), k * step, np.uint8) for k in range(count)]


def shown(image: NDArray[np.uint8], *, step: int = 10) -> int:
    """Which of ``greys`` an image is."""
    return round(float(image.mean()) / step)


def times(frames) -> list[float]:
    return [frame.pts_seconds for frame in frames]


def order(frames) -> list[int]:
    return [shown(frame.image) for frame in frames]


def noise(count: int) -> bytes:
    return np.random.default_rng(0).integers(0, 256, count, dtype=np.uint8).tobytes()


def encode(path: Path, images, *, file=None, format=None, **how) -> Path:
    """Write one video stream; ``file`` replaces the path, ``how`` is that of ``add_video``."""
    with av.open(file or str(path), "w", format=format) as container:
        container.mux(add_video(container, images, **how))
    return path


def add_video(container, images, *, rate=10, codec="libx264", pix_fmt="yuv420p", **how):
    """Add a stream of images, or of ready pictures, to an open container and return its packets.

    A container takes no more streams once a packet is in it.

    ``how``: ``options``, ``pts_ms`` (times in ms instead of the rate), ``rotation`` (arguments of
    ``set_display_rotation``), ``colours`` (attributes of the coder and of the pictures).
    """
    pictures = [image if isinstance(image, av.VideoFrame) else as_picture(image, pix_fmt) for image in images]
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, pix_fmt
    stream.options = how.get("options", {})
    if "rotation" in how:
        stream.set_display_rotation(**how["rotation"])
    time_base = Fraction(1, 1000) if "pts_ms" in how else Fraction(1, rate)
    stream.codec_context.time_base = time_base
    packets = []
    for index, picture in enumerate(pictures):
        picture.pts = how["pts_ms"][index] if "pts_ms" in how else index
        picture.time_base = time_base
        for name, value in how.get("colours", {}).items():
            setattr(picture, name, value)
            setattr(stream.codec_context, name, value)
        packets += stream.encode(picture)
    return packets + stream.encode(None)


def as_picture(image: NDArray, pix_fmt: str) -> av.VideoFrame:
    """RGB as a picture of another pixel format; 16-bit values are taken as they are coded."""
    source = "rgb48le" if image.dtype == np.uint16 else "rgb24"
    return av.VideoFrame.from_ndarray(image, format=source).reformat(format=pix_fmt)


def add_silence(container) -> None:
    """Add one second of silence to an open container and return its packets."""
    stream = container.add_stream("aac", rate=16000)
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    sound.sample_rate = 16000
    return stream.encode(sound) + stream.encode(None)


def overwrite(path: Path, place: float, garbage: bytes) -> Path:
    """Overwrite bytes of a file from a place given as a fraction of its size."""
    content = bytearray(path.read_bytes())
    start = int(len(content) * place)
    content[start : start + len(garbage)] = garbage
    path.write_bytes(content)
    return path
