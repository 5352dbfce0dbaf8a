"""What a decoder says beside a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_NUM_KINDS = 64  # more than FFmpeg knows, so that later ones are dropped as well
_SHRINKING = 256  # as far as FFmpeg's scaler goes


def display_matrix(picture: VideoFrame, reformatter: VideoReformatter) -> tuple[int, int, int, int] | None:
    """Return how a picture is to be shown, ``None`` if as it is coded.

    The matrix ``(a, b, c, d)`` sends ``(x, y)`` to ``(a x + c y, b x + d y)`` with y pointing down. It comes
    from the container, or from EXIF data in the picture, which FFmpeg turns into one.

    Args:
        picture: as decoded.
        reformatter: for this alone, and for all pictures of a stream, so that each costs microseconds.
    """
    # PyAV ties a frame and its side data into a circle, which keeps the pixels until Python collects circles:
    # those of a thumbnail, which has the same side data. Any other way of scaling would read all pixels.
    thumbnail = reformatter.reformat(
        picture,
        picture.width // _SHRINKING + 1,
        picture.height // _SHRINKING + 2,  # an interlaced picture has a row of each field, at least
        "rgb24",
        interpolation="POINT",
    )
    try:
        matrix: Any = thumbnail.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV reads all kinds at once, and fails at one that it has no name for, such as EXIF
        matrix = _without_unknown(thumbnail).side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    return a, b, c, d


def _without_unknown(picture: VideoFrame) -> VideoFrame:
    kinds: Any = Type
    known = {kind.value for kind in kinds}
    graph = av.filter.Graph()
    graph.threads = 1
    steps = [
        graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or 1,
        )
    ]
    steps += [
        graph.add("sidedata", f"mode=delete:type={kind}") for kind in range(_NUM_KINDS) if kind not in known
    ]
    graph.link_nodes(*steps, graph.add("buffersink")).configure()
    graph.push(picture)
    return graph.pull()
