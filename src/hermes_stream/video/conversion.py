"""Frames from whatever shows pictures: arrays, Pillow's images, torch's tensors, and iterators of these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hermes_stream.video.frame import Frame
from hermes_stream.video.sampling import checked_fps

_WHAT = (
    "Frame(pts_seconds=..., image=...), a path of a video file, a numpy array uint8 [height, width, 3] or "
    "[frames, height, width, 3], a PIL image, a torch tensor uint8 of these shapes, or an iterator of them"
)


def frames_from(
    shown: Any,
    *,
    fps: float | None,
    pts_seconds: float | Sequence[float] | None,
    newest_seconds: float | None,
    file_fps: float | None = None,
    max_image_pixels: int | None = None,
) -> Iterator[Frame]:
    """Yield frames of anything that shows pictures.

    Args:
        shown: see ``Session.observe``.
        fps: frames per second of what has no times of its own.
        pts_seconds: time of one picture, or of each, in seconds; instead of ``fps``.
        newest_seconds: time of the stream's newest frame; pictures at ``fps`` go on from there. None begins
            at 0.
        file_fps: frames per second that are sampled of a file; None takes all.
        max_image_pixels: see ``FileSource``; for a file alone.

    Raises:
        ValueError: pictures have no times, or something is none of what is accepted.
        VideoError: a file cannot be read.
    """
    if isinstance(shown, str | os.PathLike):
        from hermes_stream.video.sources.file import FileSource  # needs PyAV, which arrays do not

        shown = FileSource(shown, fps=file_fps, max_image_pixels=max_image_pixels)
    elif max_image_pixels is not None:
        raise ValueError("max_image_pixels is for a path; shrink pictures before they are observed")
    if fps is not None and pts_seconds is not None:
        raise ValueError("fps and pts_seconds exclude each other; leave one of them out")
    if fps is not None:
        checked_fps(fps)
    if pts_seconds is not None:
        yield from _with_times(shown, [pts_seconds] if isinstance(pts_seconds, int | float) else pts_seconds)
        return
    seconds = newest_seconds
    for one in _pictures(shown):
        if isinstance(one, Frame):
            yield one
        elif fps is None:
            raise ValueError(
                "these pictures have no times; give observe fps=... (frames per second) or pts_seconds=... "
                "(seconds, one for each picture), or wrap them: Frame(pts_seconds=..., image=...)"
            )
        else:
            seconds = 0.0 if seconds is None else seconds + 1 / fps
            yield Frame(pts_seconds=seconds, image=one)


def _with_times(shown: Any, pts_seconds: Iterable[float]) -> Iterator[Frame]:
    """Yield pictures at their times; those of an array are counted before the first is given."""
    pictures = list(_pictures(shown)) if as_array(shown) is not None else _pictures(shown)
    times = list(pts_seconds) if isinstance(pictures, list) else pts_seconds
    if isinstance(pictures, list) and isinstance(times, list) and len(pictures) != len(times):
        raise ValueError(
            f"there are {len(pictures)} pictures and {len(times)} pts_seconds; give one for each"
        )
    for one, seconds in zip(pictures, times, strict=True):
        yield one if isinstance(one, Frame) else Frame(pts_seconds=float(seconds), image=one)


def _pictures(shown: Any) -> Iterator[Frame | NDArray[np.uint8]]:
    """Yield frames as they are, and everything else as arrays uint8 ``[height, width, 3]``."""
    if isinstance(shown, Frame):
        yield shown
    elif (image := as_array(shown)) is not None:
        if image.ndim == 4:
            yield from image
        else:
            yield image
    elif isinstance(shown, Iterable) and not isinstance(shown, str | bytes | dict):
        for one in shown:
            if isinstance(one, str | os.PathLike):
                raise ValueError(f"observe takes one path, not several; call it once for each, got {one!r}")
            yield from _pictures(one)
    else:
        raise ValueError(f"observe takes {_WHAT}; got a {type(shown).__name__}")


def as_array(picture: Any) -> NDArray[np.uint8] | None:
    """Return the RGB pixels of an array, a tensor or a Pillow image; None where it is none of these.

    Raises:
        ValueError: its shape or its numbers are no RGB picture's.
    """
    name = f"{type(picture).__module__}.{type(picture).__name__}"
    if isinstance(picture, np.ndarray):
        image = picture
    elif name.startswith("PIL."):
        image = np.array(picture.convert("RGB"))
    elif name == "torch.Tensor":
        image = picture.detach().cpu().numpy()
        if image.ndim in (3, 4) and image.shape[-1] != 3 and image.shape[-3] == 3:
            image = np.ascontiguousarray(np.moveaxis(image, -3, -1))  # torch keeps channels first
    else:
        return None
    if image.dtype != np.uint8:
        raise ValueError(
            f"pictures must be uint8 from 0 to 255, got {image.dtype}; from 0 to 1 write "
            "(image * 255).round().astype(numpy.uint8)"
        )
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"pictures must be RGB of shape [height, width, 3] or [frames, height, width, 3], got "
            f"{list(image.shape)}; grey ones become RGB by numpy.repeat(image[..., None], 3, axis=-1), an "
            "alpha channel is cut off by image[..., :3]"
        )
    return image
