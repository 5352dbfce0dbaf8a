"""Looking at frames, and not looking again at those that have not changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hermes_stream.models.visual import Features, joined_features
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.requests import EncodeRequest
from hermes_stream.stream.work import Work, look
from hermes_stream.video.frame import Frame

_BLOCK = 16


class FrameEncoder:
    """Looks at a stream's frames through the vision tower.

    Args:
        executor: tells the model, and is told what preprocessing takes.
        still_below: a frame is not looked at again where no block of 16 x 16 pixels differs by this many grey
            levels (of 255, mean over the block) from the frame that was looked at last; None looks at all.

    Attributes:
        num_still_frames: frames that were not looked at again.

    Raises:
        ValueError: ``still_below`` is not a positive number.
    """

    def __init__(self, executor: Executor, still_below: float | None = None) -> None:
        if still_below is not None and not (math.isfinite(still_below) and still_below > 0):
            raise ValueError(f"still_below must be grey levels above 0, or None; got {still_below}")
        self._executor, self._still_below = executor, still_below
        self._newest: EncodedFrames | None = None
        self._foreseen: EncodedFrames | None = None
        self.num_still_frames = 0

    def seeing(self, frames: Sequence[Frame]) -> Work[tuple[Features, EncodedFrames | None]]:
        """Return the features of pictures of one size, and the sight to ``commit`` when they are in."""
        together = self._executor.model.card.frames_per_temporal_patch
        groups = [frames[k : k + together] for k in range(0, len(frames), together)]
        if self._still_below is None:
            return (yield from self._look(frames)), None
        sources, changed, newest = [], [], self._newest
        for group in groups:
            if newest is None or self._has_changed(newest.frames, group):
                newest = EncodedFrames(group)
                changed.append(newest)
            sources.append(newest)
        if changed:
            seen = yield from self._look([frame for sight in changed for frame in sight.frames])
            for sight, features in zip(changed, seen.split([1] * len(changed)), strict=True):
                sight.features = features
        assert newest is not None
        newest.num_reused = len(groups) - len(changed)
        return joined_features([sight.features for sight in sources if sight.features]), newest

    def ahead(self, frames: Sequence[Frame]) -> EncodeRequest | None:
        """Ask for a look at frames that will be seen next, for whoever has the time; ``foresee`` its result.

        Returns:
            None where they were looked at already, or may turn out to be still.
        """
        if self._still_below is not None or (self._foreseen and _same(self._foreseen.frames, frames)):
            return None
        self._foreseen = EncodedFrames(tuple(frames))
        return EncodeRequest(pixels=self._executor.model.prepare(frames))

    def foresee(self, features: Features) -> None:
        """Take the result of ``ahead``."""
        if self._foreseen is not None:
            self._foreseen.features = features

    def commit(self, sight: EncodedFrames | None) -> None:
        """Remember what was seen, once it is in the memory."""
        if sight is not None:
            self._newest = sight
            self.num_still_frames += sight.num_reused

    def _look(self, frames: Sequence[Frame]) -> Work[Features]:
        foreseen, self._foreseen = self._foreseen, None
        if foreseen and foreseen.features and _same(foreseen.frames, frames):
            return foreseen.features
        with self._executor.timing("preprocess"):
            pixels = self._executor.model.prepare(frames)
        return (yield from look(pixels))

    def _has_changed(self, before: Sequence[Frame], now: Sequence[Frame]) -> bool:
        assert self._still_below is not None
        pairs = [(before[min(k, len(before) - 1)].image, frame.image) for k, frame in enumerate(now)]
        return any(largest_change(old, new) >= self._still_below for old, new in pairs)


class EncodedFrames:
    """A frame that was looked at, and what was seen of it."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.features: Features | None = None
        self.num_reused = 0


def _same(some: Sequence[Frame], others: Sequence[Frame]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def largest_change(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> float:
    """Return by how many grey levels the block that changed most has changed; infinite for another size."""
    if old.shape != new.shape:
        return math.inf
    change = np.abs(old.astype(np.int16) - new).mean(axis=2, dtype=np.float32)
    height, width = change.shape
    rows, columns = np.arange(0, height, _BLOCK), np.arange(0, width, _BLOCK)
    sums = np.add.reduceat(np.add.reduceat(change, rows, axis=0), columns, axis=1)
    tall, wide = np.diff(np.append(rows, height)), np.diff(np.append(columns, width))
    return float((sums / (tall[:, None] * wide)).max())
