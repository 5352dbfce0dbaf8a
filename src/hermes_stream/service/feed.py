"""One source's thread: it reads, hands on what comes, and says what happens to the source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from threading import Event, Thread

from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.source import (
    Source,
    SourceEvent,
    SourceEventKind,
    SourceState,
    SourceStats,
    Tally,
)

log = logging.getLogger(__name__)


class Feed:
    """Reads one source in a thread of its own until it ends, fails or is stopped.

    Args:
        name: of the stream, for the thread's name.
        source: is read here and nowhere else.
        take: is given each frame; may wait; what it raises leaves the frame out.
        tell: is given each event of the source.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        take: Callable[[Frame], None],
        tell: Callable[[SourceEvent], None],
    ) -> None:
        self.source = source
        self._take, self._tell = take, tell
        self._num_refused = 0
        self._failure: str | None = None
        self._thread = Thread(target=self._run, name=f"hermes-feed-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it reads."""
        return self._thread.is_alive()

    @property
    def stats(self) -> SourceStats:
        """What is known of the source now."""
        return self.source.stats

    @property
    def num_refused(self) -> int:
        """Frames that could not be taken."""
        return self._num_refused

    @property
    def failure(self) -> str | None:
        """Why reading ended, where that was the reader's own fault; None where it was not."""
        return self._failure

    def stop(self, timeout_seconds: float | None = 5.0) -> bool:
        """Stop reading; tell whether the thread has ended in time.

        The source is closed by its own thread, so that this may return before it is.
        """
        self.source.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with closing(self.source.read()) as items:  # type: ignore[type-var]  # a generator
                for item in items:
                    self._pass_on(item)
        except Exception as error:
            # read() does not raise for what a source does: this is a fault of ours, and must be seen
            self._failure = f"{type(error).__name__}: {error}"
            log.exception("a feed ended")
            self._tell(SourceEvent(kind=SourceEventKind.FAILED, pts_seconds=0.0, reason=self._failure))

    def _pass_on(self, item: Frame | SourceEvent) -> None:
        if isinstance(item, SourceEvent):
            self._tell(item)
            return
        try:
            self._take(item)
        except ValueError as error:
            self._num_refused += 1
            if self._num_refused == 1:
                log.warning("frames of a source are left out: %s", error)


class FramesSource:
    """A ``Source`` made of any iterable of frames: an array's, a generator's, a ``FileSource``.

    Args:
        frames: times increase.
        address: what to call it.
    """

    def __init__(self, frames: Iterable[Frame], address: str = "frames") -> None:
        self._frames = frames
        self._stopped = Event()
        self._tally = Tally(address)

    @property
    def stats(self) -> SourceStats:
        """What is known of it now."""
        return self._tally.stats

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield the frames, and that they have ended."""
        self._tally.set(state=SourceState.LIVE)
        yield self._tally.event(SourceEventKind.OPENED, "frames of this program")
        for frame in self._frames:
            if self._stopped.is_set():
                return
            self._tally.picture_came(frame.pts_seconds)
            yield frame
        self._tally.set(state=SourceState.ENDED, reason="all frames were given")
        yield self._tally.event(SourceEventKind.ENDED, "all frames were given")

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""
        return (item for item in self.read() if isinstance(item, Frame))

    def stop(self) -> None:
        """Make ``read`` end with the next frame."""
        self._stopped.set()
