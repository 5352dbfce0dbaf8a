"""Makes the small clips of ``tests/data/media/kinds``, of many containers and codecs: run it as a module."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image
from tests.video.clips import MEDIA, add_silence, add_video, encode
from tests.video.heif import crop, rotate, write_heic

KINDS = MEDIA / "kinds"
_X265 = {"x265-params": "log-level=none:info=0:keyint=10"}
_VIDEOS = {
    "h264.mp4": {"options": {"g": "10"}},
    "hevc.mp4": {"codec": "libx265", "options": _X265},
    "h264.mkv": {"options": {"g": "10"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {"codec": "libvpx"},
    "av1.mkv": {"codec": "libsvtav1"},
    "h264.ts": {"options": {"g": "10"}},
    "mpeg2.ts": {"codec": "mpeg2video", "rate": 25},
    "mpeg2.mpg": {"codec": "mpeg2video", "rate": 25},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "flv1.flv": {"codec": "flv"},
    "wmv2.wmv": {"codec": "wmv2"},
    "h263.3gp": {"codec": "h263", "size": (128, 96)},
    "ffv1.nut": {"codec": "ffv1"},
    "mpeg2.mxf": {"codec": "mpeg2video", "rate": 25},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "apng.png": {"codec": "apng", "pix_fmt": "rgb24", "format": "apng"},
    "h264.h264": {"options": {"g": "10"}},
    "hevc.hevc": {"codec": "libx265", "options": _X265},
    "vp8.ivf": {"codec": "libvpx"},
    "raw.y4m": {"codec": "wrapped_avframe", "size": (16, 16)},
    "sequence.avif": {"codec": "libsvtav1", "format": "avif"},
    "rotated.mp4": {"rotation": {"degrees": 90}},
    "hdr.mkv": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "options": _X265,
        "colours": {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1},
    },
}


def pictures(count: int, *, width: int, height: int):
    """A bright square that moves over a slope of colours."""
    slope = np.add.outer(np.arange(height) * 2, np.arange(width))[..., None] * [1, 2, 3] % 200
    for index in range(count):
        image = slope.astype(np.uint8)
        image[height // 3 : height // 3 * 2, index : index + width // 4] = 255
        yield image


def main() -> None:
    KINDS.mkdir(exist_ok=True)
    for name, described in _VIDEOS.items():
        how = dict(described)
        width, height = how.pop("size", (64, 48))
        encode(KINDS / name, pictures(12, width=width, height=height), **how)
    _with_sound(KINDS / "sound.mp4", movflags="frag_keyframe+empty_moov")
    _with_sound(KINDS / "sound.mkv")
    (still,) = pictures(1, width=64, height=48)
    _stills(Image.fromarray(still))
    tiles = list(pictures(6, width=64, height=64))
    how = {"columns": 3, "size": (180, 120), "properties": [crop(160, 100, 5, -3), rotate(1)]}
    write_heic(KINDS / "tiles.heic", tiles, **how)


def _with_sound(path: Path, **options) -> None:
    with av.open(str(path), "w", options=options) as container:
        video = add_video(container, list(pictures(12, width=64, height=48)), options={"g": "10"})
        container.mux(video + add_silence(container))


def _stills(image: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"  # orientation and maker
    for suffix in ("jpg", "png", "webp", "avif"):
        image.save(KINDS / f"exif.{suffix}", exif=exif)
    for suffix in ("bmp", "tiff"):
        image.save(KINDS / f"still.{suffix}")
    others = [image.rotate(90 * k) for k in range(1, 4)]
    image.save(KINDS / "animated.webp", save_all=True, append_images=others, duration=500)


if __name__ == "__main__":
    main()
