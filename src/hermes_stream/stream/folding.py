"""From frames that wait to memory, chunk by chunk; what cannot be folded in is left out in the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from hermes_stream.errors import BrokenMemoryError, CapacityError, PolicyError, SnapshotError, VideoError
from hermes_stream.models.base import VideoModel
from hermes_stream.saved import Saved
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.changes import Changes, ChunkFolded, FramesLeftOut, MemoryCompressed
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.executor import is_out_of_memory
from hermes_stream.stream.held_frames import fitting_parts, num_tokens
from hermes_stream.stream.intake import Intake
from hermes_stream.stream.saved_frames import MAX_SECONDS
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame

log = logging.getLogger(__name__)


class Folding:
    """Folds one stream's waiting frames into what its questions read.

    Args:
        model: tells what frames take.
        capacity: tells how many are folded in at once.
        intake: where frames wait.
        context: where they go.
        changes: is told what was folded, and what was left out.

    Attributes:
        num_frames: folded in.
        num_seen: visual tokens that they made.
        num_failed_frames: left out.
        until_seconds: time of the newest frame folded in; None where that is not known.
        newest_size: its height and width, likewise.
        keeps_newest: whether the newest pictures are held for who looks at a part of them.
        newest_frames: those of the newest temporal patch, while they are held.
    """

    def __init__(
        self,
        model: VideoModel,
        capacity: Capacity,
        *,
        intake: Intake,
        context: QuestionContext,
        changes: Changes,
    ) -> None:
        self._model, self._capacity = model, capacity
        self._intake, self._context, self._changes = intake, context, changes
        self.num_frames = self.num_seen = self.num_failed_frames = 0
        self.until_seconds: float | None = None
        self.newest_size: tuple[int, int] | None = None
        self.keeps_newest = False
        self.newest_frames: tuple[Frame, ...] = ()
        self._failed_frame: Frame | None = None
        self._num_failures = 0

    def fold(self, num_frames: int, text_tokens: int | None = None) -> Work[None]:
        """Fold the frames that wait longest into the memory.

        Args:
            num_frames: at most these.
            text_tokens: of a question that waits for them; see ``QuestionContext.fold``.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        chunk = self._intake.take(num_frames)
        try:
            for part in fitting_parts(self._model, self._capacity, chunk):
                if self._context.needs_compression(num_tokens(self._model, part)):
                    yield from self.compress()
                yield from self._fold_or_leave_out(part, text_tokens)
        finally:
            # what failed, or was abandoned, waits for the next try
            self._intake.put_back()

    def compress(self) -> Work[None]:
        """Do the compression that a question put off."""
        yield from self._context.compress()
        self._changes.note(MemoryCompressed())

    def _fold_or_leave_out(self, frames: Sequence[Frame], text_tokens: int | None) -> Work[None]:
        """Fold frames of one size; where they failed before, one temporal patch at a time.

        A patch that fails then is left out, so that one bad frame does not stop its stream for ever. If all
        of them fail it may not be theirs, and they are tried once more before they are.
        """
        num_failures = self._num_failures if frames[0] is self._failed_frame else 0
        try:
            yield from self._fold_together(frames, text_tokens)
        except Exception as error:
            if not self._is_of_frames(error):
                raise
            self._failed_frame, self._num_failures = frames[0], num_failures + 1
            if num_failures == 0:
                raise
            is_last_try = num_failures > 1 or len(frames) <= self._model.card.frames_per_temporal_patch
            if not (yield from self._fold_apart(frames, is_last_try=is_last_try)):
                raise

    def _fold_apart(self, frames: Sequence[Frame], *, is_last_try: bool) -> Work[bool]:
        """Fold temporal patches one by one, and leave out those that fail; tell whether that was done.

        Args:
            frames: of one size.
            is_last_try: leave them out even if all fail.
        """
        failed: list[Frame] = []
        is_theirs = is_last_try
        size = self._model.card.frames_per_temporal_patch
        for start in range(0, len(frames), size):
            patch = frames[start : start + size]
            try:
                yield from self._fold_together(patch)
                is_theirs = True
            except Exception as error:
                if not self._is_of_frames(error):
                    raise
                failed += patch
                log.info("frames at %s s cannot be folded in: %s", _times(patch), error)
            if is_theirs and failed:
                # at once: what comes later in time is in the memory, and they must not come behind it
                self._leave_out(failed)
                log.warning("%d frames are left out, at %s s", len(failed), _times(failed))
                failed = []
        return is_theirs

    @staticmethod
    def _is_of_frames(error: Exception) -> bool:
        """Tell whether other frames might do better; what has no room now may have some later."""
        is_memorys = isinstance(error, CapacityError | BrokenMemoryError | PolicyError)
        return not (is_memorys or is_out_of_memory(error))

    def _leave_out(self, frames: Sequence[Frame]) -> None:
        left_out = FramesLeftOut(indices=self._intake.indices_of(frames))
        self._intake.drop(frames)
        self.num_failed_frames += len(frames)
        self._changes.note(left_out)

    def _fold_together(self, frames: Sequence[Frame], text_tokens: int | None = None) -> Work[None]:
        yield from self._context.fold(frames, text_tokens, partial(self._took, frames, text_tokens))

    def _took(self, frames: Sequence[Frame], text_tokens: int | None) -> None:
        start = self._intake.indices_of(frames[:1])[0]
        folded = ChunkFolded(start=start, num_frames=len(frames), text_tokens=text_tokens)
        self._intake.drop(frames)
        self.num_frames += len(frames)
        self.until_seconds, self.newest_size = frames[-1].pts_seconds, frames[-1].size
        patch_frames = self._model.card.frames_per_temporal_patch
        self.newest_frames = tuple(frames[-patch_frames:]) if self.keeps_newest else ()
        self.num_seen += num_tokens(self._model, frames)
        self._changes.note(folded)

    def check_any(self) -> None:
        """Check that some frame is in the memory.

        Raises:
            VideoError: all were left out.
        """
        if not self.num_frames:
            raise VideoError(
                f"none of {self.num_failed_frames} frames could be folded into the memory, so there is "
                "nothing to ask about; the log says why"
            )

    def fold_again(self, folded: ChunkFolded) -> Work[None]:
        """Fold the frames that another stream folded together.

        Raises:
            SnapshotError: they do not wait here, or are too many for this one.
        """
        first, end = folded.start, folded.start + folded.num_frames
        frames = self._intake.take(end)
        try:
            if len(frames) < end or len([*fitting_parts(self._model, self._capacity, frames[first:])]) != 1:
                raise SnapshotError(
                    f"frames {first} to {end} of those that wait were folded together, and {len(frames)} "
                    "wait, or they do not go in at once; the journal is not of such a stream"
                )
            yield from self._fold_together(frames[first:], folded.text_tokens)
        finally:
            self._intake.put_back()

    def leave_out_again(self, left_out: FramesLeftOut) -> None:
        """Leave out the frames that another stream left out.

        Raises:
            SnapshotError: they do not wait here.
        """
        count = len(self._intake.waiting)
        if not all(0 <= index < count for index in left_out.indices):
            raise SnapshotError(
                f"frames {list(left_out.indices)} of those that wait were left out, and {count} wait; the "
                "journal does not go on where the snapshot ends"
            )
        frames = [self._intake.waiting[index] for index in left_out.indices]
        self._intake.take(count)
        self._leave_out(frames)
        self._intake.put_back()

    def saved(self) -> Saved:
        """Return what was folded, and which waiting frame failed; the intake has the frames."""
        failed = () if self._failed_frame is None else self._intake.indices_of([self._failed_frame])
        return Saved(
            values={
                "num_frames": self.num_frames,
                "num_seen": self.num_seen,
                "num_failed_frames": self.num_failed_frames,
                "until_seconds": self.until_seconds,
                "failed_index": failed[0] if failed else None,
                "num_failures": self._num_failures if failed else 0,
            }
        )

    def restore(self, saved: Saved) -> None:
        """Go on where another stream's folding was; the intake first.

        Raises:
            SnapshotError: what was saved is no such state.
        """
        self.num_frames, self.num_seen = saved.integer("num_frames"), saved.integer("num_seen")
        self.num_failed_frames = saved.integer("num_failed_frames")
        if saved.has("until_seconds"):  # older snapshots do not say
            self.until_seconds = saved.number("until_seconds", least=-MAX_SECONDS, most=MAX_SECONDS)
        self._num_failures, waiting = saved.integer("num_failures"), self._intake.waiting
        if saved.has("failed_index"):
            self._failed_frame = waiting[saved.integer("failed_index", most=len(waiting) - 1)]


def _times(frames: Sequence[Frame]) -> str:
    return ", ".join(f"{frame.pts_seconds:.3f}" for frame in frames)
