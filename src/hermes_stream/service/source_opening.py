"""From what a caller gives as a source to one that can be read, and what of it may be kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hermes_stream.models.base import VideoModel
from hermes_stream.service.feed import FramesSource
from hermes_stream.service.resumed_file import ResumedFile
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.stream_rows import StreamRow
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.opening import open_source
from hermes_stream.video.sources.source import ClockPoint, Source

_BYTES_PER_PIXEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSource:
    """A source that nobody reads yet.

    Attributes:
        source: to be read by a feed.
        address: without user name and password.
        opens_again: whether that is the whole address, so that it can be opened after a restart.
        waits: whether it can wait for the engine, so that no frame need be dropped.
        samples: whether it gives frames at the stream's rate already, by its own clock.
    """

    source: Source
    address: str
    opens_again: bool
    waits: bool
    samples: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOpener:
    """Opens sources for streams of one model.

    Attributes:
        max_image_pixels: of a frame; more would only be carried around.
    """

    max_image_pixels: int

    @classmethod
    def of(cls, model: VideoModel, picture_pixels: int) -> SourceOpener:
        """Return one for a model, and for pictures of a size."""
        return cls(max_image_pixels=max(model.max_frame_bytes // _BYTES_PER_PIXEL, picture_pixels))

    def open(
        self,
        given: Any,
        choices: StreamChoices,
        row: StreamRow | None,
        newest_seconds: float | None,
        *,
        is_other: bool = False,
    ) -> OpenedSource | None:
        """Return what a stream is to read; None where its frames are pushed.

        Args:
            given: an address, a ``Source``, an iterable of frames, or None.
            choices: of the stream.
            row: of the stream, where there is one already.
            newest_seconds: time of its newest frame.
            is_other: whether the stream has watched something else so far.

        Raises:
            ValueError: it is nothing that can be read.
            VideoError: there is no such source, or it is not allowed.
        """
        if given is None:
            return None
        if isinstance(given, str | os.PathLike):
            clock = _clock(row, newest_seconds)
            return self._open_address(os.fspath(given), choices, clock, begins=clock is None or is_other)
        if hasattr(given, "read") and hasattr(given, "stats"):
            return OpenedSource(
                source=given, address=given.stats.address, opens_again=False, waits=False, samples=True
            )
        if isinstance(given, Iterable):
            source = FramesSource(given)
            return OpenedSource(
                source=source, address=source.stats.address, opens_again=False, waits=True, samples=False
            )
        raise ValueError(
            f"a source is an address, a Source, an iterable of frames, or None for pushed frames; got a "
            f"{type(given).__name__}"
        )

    def _open_address(
        self, address: str, choices: StreamChoices, clock: ClockPoint | None, *, begins: bool
    ) -> OpenedSource:
        path = Path(address)
        is_file = "://" not in address and path.is_file()
        if is_file:
            address = str(path.resolve())  # the next start may be in another folder
        is_fast = is_file and choices.source.get("pace") == "fast"
        resumes = is_file and not begins  # it goes on where the stream is
        options = choices.source_options(None if resumes else clock, self.max_image_pixels)
        if resumes:
            options = replace(options, pace="fast")
        source = open_source(address, options, policy=choices.source_policy)
        if resumes and clock is not None and not is_fast:
            source = ResumedFile(source, clock.newest_seconds)
        shown = source.stats.address
        return OpenedSource(
            source=source, address=shown, opens_again=_is_whole(shown, address), waits=is_fast, samples=True
        )


def _is_whole(shown: str, address: str) -> bool:
    """Tell whether what is shown of an address leads to the same place."""
    try:
        return Address.parse(shown) == replace(Address.parse(address), shown=Address.parse(shown).shown)
    except ValueError:
        return False


def _clock(row: StreamRow | None, newest_seconds: float | None) -> ClockPoint | None:
    if row is None or row.zero_wall_seconds is None or newest_seconds is None:
        return None
    return ClockPoint(zero_wall_seconds=row.zero_wall_seconds, newest_seconds=newest_seconds)
