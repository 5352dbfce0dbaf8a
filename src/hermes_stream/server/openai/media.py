"""Pictures and videos of a request: where they lie, and the frames that they hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from hermes_stream.errors import VideoError
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.media_work import Stop
from hermes_stream.server.openai.requests import FilePart, ImagePart, VideoPart
from hermes_stream.server.state import ServerState
from hermes_stream.service.shown import without_folders
from hermes_stream.video import FileSource, Frame, SourceOptions, SourcePolicy, open_source
from hermes_stream.video.sources.source import Source, SourceEventKind

STREAM_SCHEME = "stream://"
_STILL_SECONDS = 1.0
_KINDS = "'stream://NAME', 'data:...;base64,...', the id of an uploaded file, or an address in allow_sources"

Media = ImagePart | VideoPart | FilePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where pictures lie.

    Attributes:
        is_still: one picture is taken of it.
        path: of a file.
        address: of a network source.
    """

    is_still: bool
    path: Path | None = None
    address: str | None = None


def stream_of(media: Sequence[Media]) -> str | None:
    """Return the stream that a request is about; None where it brings its own pictures.

    Raises:
        RefusedError: it names nothing, or a stream and something else.
    """
    urls = [_url(part) for part in media]
    named = {url.removeprefix(STREAM_SCHEME) for url in urls if url and url.startswith(STREAM_SCHEME)}
    if not media:
        raise RefusedError(
            400,
            f"the messages show nothing to ask about; add a part of type video_url or image_url: {_KINDS}",
            code="no_video",
            param="messages",
        )
    if not named:
        return None
    if len(named) > 1 or not all(url and url.startswith(STREAM_SCHEME) for url in urls):
        raise RefusedError(
            400,
            f"the messages name {', '.join(sorted(named))[:200]} and more; ask about one stream, or pictures",
            code="several_videos",
            param="messages",
        )
    return named.pop()


def frames_of(
    state: ServerState, media: Sequence[Media], *, fps: float | None, stop: Stop
) -> Iterator[Frame]:
    """Yield the frames of pictures and videos, one behind the other on one clock.

    Args:
        state: of the server.
        media: in order.
        fps: pictures sampled per second of a video.
        stop: tells that nobody waits for them any more.

    Raises:
        RefusedError: something cannot be opened, is no picture, or there are too many pictures.
    """
    most, count, begin = state.settings.max_chat_frames, 0, 0.0
    with ExitStack() as files:
        for place in [_place(state, part, files) for part in media]:
            end = begin
            for frame in _frames_at(state, place, fps=fps, stop=stop):
                count += 1
                if count > most:
                    raise _too_many(most, fps)
                if stop.is_set:
                    return
                end = begin + frame.pts_seconds
                yield replace(frame, pts_seconds=end)
            begin = end + _STILL_SECONDS


def _frames_at(state: ServerState, place: Place, *, fps: float | None, stop: Stop) -> Iterator[Frame]:
    """Yield frames whose times begin at 0."""
    most = state.settings.max_picture_pixels
    try:
        if place.path is not None:
            frames: Iterator[Frame] = iter(FileSource(place.path, fps=fps, max_pixels=most))
        else:
            assert place.address is not None
            options = SourceOptions(fps=fps, max_pixels=most, pace="fast")
            policy = SourcePolicy(
                allow=state.settings.allow_sources, private_networks=state.settings.private_networks
            )
            frames = _until_disconnected(open_source(place.address, options, policy=policy), stop)
        first: float | None = None
        for frame in frames:
            first = frame.pts_seconds if first is None else first
            yield replace(frame, pts_seconds=frame.pts_seconds - first)
            if place.is_still:
                return
        if first is None:
            raise VideoError("it holds no picture")
    except VideoError as error:
        if type(error) is not VideoError:  # refused by the policy of sources: told as it is
            raise
        raise RefusedError(
            400, f"a picture or video cannot be read: {without_folders(str(error))}", code="invalid_video"
        ) from error


def _until_disconnected(source: Source, stop: Stop) -> Iterator[Frame]:
    """Yield the frames of a network source until it is over, or dies: it is not waited for here.

    Raises:
        VideoError: it died before its first frame; says why.
    """
    has_given = False
    # closed in this thread, which reads
    with stop.calling(source.stop), closing(source.read()) as items:  # type: ignore[type-var]
        for item in items:
            if isinstance(item, Frame):
                has_given = True
                yield item
            elif item.kind in (SourceEventKind.DISCONNECTED, SourceEventKind.FAILED):
                if not has_given:
                    raise VideoError(item.reason)
                return


def _place(state: ServerState, part: Media, files: ExitStack) -> Place:
    """Return where a part's pictures lie; what it carries itself is written to a file for as long."""
    url = _url(part)
    if url is None:
        raise RefusedError(
            400,
            "a part of type file names no file; give file_id, or file_data",
            code="no_file",
            param="messages",
        )
    is_still = isinstance(part, ImagePart)
    if url.startswith("data:"):
        path = files.enter_context(state.uploads.temporary())
        path.write_bytes(_decoded(url))
        return Place(is_still=is_still, path=path)
    if "://" in url:
        return Place(is_still=is_still, address=url)
    return Place(is_still=is_still, path=state.uploads.path(url.removeprefix("file:")))


def _url(part: Media) -> str | None:
    if isinstance(part, ImagePart):
        return part.image_url.url
    if isinstance(part, VideoPart):
        return part.video_url.url
    return part.file.file_id or part.file.content


def _decoded(url: str) -> bytes:
    head, comma, content = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise RefusedError(
            400,
            f"{url[:60]!r} is no data address that can be read; accepted: data:TYPE;base64,CONTENT",
            code="invalid_data_url",
            param="messages",
        )
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            400,
            f"the content of {url[:60]!r} is no base64 ({error})",
            code="invalid_data_url",
            param="messages",
        ) from error


def _too_many(most: int, fps: float | None) -> RefusedError:
    rate = "all its pictures are" if fps is None else f"{fps:g} pictures a second are"
    return RefusedError(
        400,
        f"the request holds more than {most} pictures, which is the most, when {rate} taken; give a lower "
        "hermes.fps, or open a stream for it",
        code="too_many_pictures",
        param="messages",
        accepted={"max_chat_frames": most},
    )
