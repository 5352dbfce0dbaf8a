"""When a watch would have spoken: asked of what is kept of a stream, in a memory of its own."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hermes_stream.errors import ClosedError, HermesError
from hermes_stream.service.pictures import read_picture
from hermes_stream.service.seating import add
from hermes_stream.service.served_stream import ServedStream
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.service.watch_status import TrialEvent, WatchTrial
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.watches import Watch, WatchEvent, WatchRules
from hermes_stream.video.frame import Frame
from hermes_stream.video.jpeg import decode_jpeg

log = logging.getLogger(__name__)
MAX_FRAMES, _MAX_BYTES = 3600, 256 * 2**20
_SAME_SECONDS = 0.01


class TrialRun:
    """One trial on the engine, beside its streams; the engine's thread does all of it.

    Args:
        engine: has room for one more stream.
        choices: of the stream that is tried.
        rules: of the watch.
        frames: what is kept of the stream, oldest first.
        zero_wall_seconds: wall-clock time of the stream's zero, for schedules.
        is_cut: whether there was more.
        leave: is told that it is over.

    Attributes:
        outcome: what it found.

    Raises:
        HermesError: there is no room, or the watch cannot be asked of this model.
        ValueError: values do not go together.
    """

    def __init__(
        self,
        engine: Engine,
        choices: StreamChoices,
        rules: WatchRules,
        frames: Sequence[Frame],
        *,
        zero_wall_seconds: float,
        is_cut: bool,
        leave: Callable[[TrialRun], None],
    ) -> None:
        self._frames, self._next, self._is_cut, self._leave = frames, 0, is_cut, leave
        self._fired: list[TrialEvent] = []
        self._scores: list[tuple[float, float]] = []
        watched = choices.watched_chunk_frames(engine.model)
        self._handle = add(engine, replace(choices, chunk_frames=watched))
        self.outcome: Future[WatchTrial] = Future()
        try:
            chosen = {name: getattr(rules, name) for name in rules.__slots__}
            self._watch: Watch = self._handle.watch(**chosen, on_event=self._note)
        except BaseException:
            self._handle.close()
            raise
        self._handle.watches.moment_of = lambda seconds: datetime.fromtimestamp(
            zero_wall_seconds + seconds, UTC
        )

    def fill(self) -> bool:
        """Give the memory its next chunk; end where there is none."""
        if self.outcome.done():
            return False
        has_moved = False
        while self._next < len(self._frames) and not self._handle.stream.has_full_chunk:
            try:
                self._handle.observe(self._frames[self._next])
            except Exception as error:
                self._end(error)
                return False
            self._next += 1
            has_moved = True
        if not has_moved and self._next == len(self._frames) and not self._handle.is_ready:
            self._end(None)
        return has_moved

    def publish(self) -> None:
        """Take the score of the last look."""
        watch = self._watch
        if watch.score is None or watch.last_seconds is None:
            return
        if not self._scores or self._scores[-1][0] != watch.last_seconds:
            self._scores.append((watch.last_seconds, watch.score))

    def lose(self, reason: str) -> None:
        """Tell whoever waits that there will be nothing."""
        self._end(ClosedError(reason))

    def _note(self, event: WatchEvent) -> None:
        self._fired.append(
            TrialEvent(
                stream_seconds=event.stream_seconds, kind=event.kind, value=event.value, score=event.score
            )
        )

    def _end(self, error: Exception | None) -> None:
        if self.outcome.done():
            return
        self._handle.close()
        self._leave(self)
        if error is not None:
            self.outcome.set_exception(error)
            return
        times = [frame.pts_seconds for frame in self._frames]
        self.outcome.set_result(
            WatchTrial(
                fired=tuple(self._fired),
                scores=tuple(self._scores),
                covered_seconds=times[-1] - times[0] if times else 0.0,
                num_frames=len(times),
                is_cut=self._is_cut,
            )
        )


def kept_frames(
    served: ServedStream, pictures: Path, from_seconds: float, until_seconds: float
) -> tuple[list[Frame], bool]:
    """Return what is kept of a stream's frames, oldest first: the journal's, and pictures where it has none.

    Args:
        served: the stream.
        pictures: folder of all pictures.
        from_seconds: in seconds of the stream.
        until_seconds: likewise.

    Returns:
        The newest of them that fit the room, and whether there were more.
    """
    journalled: deque[Frame] = deque()
    num_bytes, is_cut = 0, False
    try:
        frames = [] if served.disk is None else served.disk.frames(from_seconds, until_seconds)
        for frame in frames:
            journalled.append(frame)
            num_bytes += frame.image.nbytes
            while len(journalled) > 1 and (num_bytes > _MAX_BYTES or len(journalled) > MAX_FRAMES):
                num_bytes, is_cut = num_bytes - journalled.popleft().image.nbytes, True
    except (OSError, HermesError) as error:
        log.info("the journal of stream %s is read in part: %s", served.row.name, error)
    kept = {frame.pts_seconds: frame for frame in journalled}
    times = sorted(kept)
    shown = {} if served.pictures is None else served.pictures.between(from_seconds, until_seconds)
    if is_cut:  # older ones would find no room
        shown = {seconds: path for seconds, path in shown.items() if seconds > times[0]}
    for seconds, path in reversed(shown.items()):
        if _is_among(seconds, times) or (picture := _pictured(pictures, seconds, path)) is None:
            continue
        num_bytes += picture.image.nbytes
        if num_bytes > _MAX_BYTES or len(kept) == MAX_FRAMES:
            is_cut = True
            break
        kept[seconds] = picture
    return [kept[seconds] for seconds in sorted(kept)], is_cut


def _is_among(seconds: float, times: Sequence[float]) -> bool:
    index = bisect_left(times, seconds - _SAME_SECONDS)
    return index < len(times) and times[index] <= seconds + _SAME_SECONDS


def _pictured(root: Path, seconds: float, path: str) -> Frame | None:
    try:
        return Frame(pts_seconds=seconds, image=decode_jpeg(read_picture(root, path)))
    except (HermesError, ValueError) as error:
        log.info("picture %s is left out: %s", path, error)
        return None
