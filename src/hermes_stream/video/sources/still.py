"""Still pictures that are made of several coded ones, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import av

from hermes_stream.errors import VideoError
from hermes_stream.video.paths import readable
from hermes_stream.video.sources.container import check_size, make_ready
from hermes_stream.video.sources.heif import StillLayout, read_still_layout

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_WEBP_HEADER_BYTES = 21
_WEBP_ANIMATION = 2


@final
class StillAssembly:
    """Puts the decoded items of one still picture together."""

    def __init__(self, layout: StillLayout) -> None:
        self._layout = layout
        self._items: dict[int, VideoFrame] = {}

    def add(self, item_id: int, item: VideoFrame) -> VideoFrame | None:
        """Take one decoded item and return the picture once all are there.

        Raises:
            av.error.FFmpegError: the items do not fit together.
        """
        self._items.setdefault(item_id, item)
        if len(self._items) < len(self._layout.item_ids):
            return None
        graph = av.filter.Graph()
        graph.threads = 1
        sources = []
        for index in self._layout.item_ids:
            source = self._items[index]
            sources.append(
                graph.add_buffer(width=source.width, height=source.height, format=source.format, time_base=1)
            )
        steps = [graph.add(*step.split("=", 1)) for step in self._layout.filters]
        for number, source in enumerate(sources):
            source.link_to(steps[0], 0, number)
        graph.link_nodes(*steps, graph.add("buffersink")).configure()
        for source, index in zip(sources, self._layout.item_ids, strict=True):
            self._items[index].pts = 0
            source.push(self._items[index])
            source.push(None)
        return graph.vpull()


def open_still(
    container: InputContainer, path: Path, stream: VideoStream, *, max_pixels: int
) -> tuple[Sequence[VideoStream], StillAssembly | None]:
    """Return the streams that make the picture of a file, and what makes it; the stream alone for a video.

    Args:
        container: an open container.
        path: its path.
        stream: the stream that was chosen in it.
        max_pixels: the most pixels that the picture may have.

    Raises:
        VideoError: tiles are missing, make too large a picture, or how they belong together is unclear.
    """
    if not container.format.name.startswith("mov") or stream.frames > 1:
        return [stream], None
    layout, name = read_still_layout(path), readable(path)
    if layout is None:
        return [stream], None
    streams = {one.id: one for one in container.streams.video}
    if not all(item_id in streams for item_id in layout.item_ids):
        raise VideoError(f"{name} is a picture made of several, and some are missing; convert it to JPEG")
    if layout.size is not None:
        check_size(name, *layout.size, max_pixels=max_pixels)
    items = [streams[item_id] for item_id in layout.item_ids]
    for item in items:
        if item.codec_context is None:
            raise VideoError(f"{name}: this FFmpeg has no decoder for its picture; convert it to JPEG")
        make_ready(item, max_pixels=max_pixels)
    return items, StillAssembly(layout)


def is_animated_webp(path: Path) -> bool:
    """Tell whether a file is a WebP of several pictures, which FFmpeg before version 9 cannot decode."""
    with path.open("rb") as file:
        header = file.read(_WEBP_HEADER_BYTES)
    is_extended = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) == _WEBP_HEADER_BYTES
    return is_extended and bool(header[20] & _WEBP_ANIMATION)
