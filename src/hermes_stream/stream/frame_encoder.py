"""Encoding a stream's frames, and not encoding again those that have not changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hermes_stream.errors import SnapshotError
from hermes_stream.models.visual import Features, joined_features
from hermes_stream.saved import Saved
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.saved_frames import restored_frames, saved_frames
from hermes_stream.stream.work import EncodeRequest, Work, encode
from hermes_stream.video.frame import Frame

_BLOCK = 16


class FrameEncoder:
    """Turns a stream's frames into features with the vision tower.

    Args:
        executor: has the model.
        still_below: a frame is not encoded again where no block of 16 x 16 pixels, of those that the model
            sees, differs by this many grey levels (of 255, mean over the block) from the frame that was
            encoded last; None encodes all.

    Attributes:
        num_still_frames: frames that took the features of an earlier one.

    Raises:
        ValueError: ``still_below`` is not a positive number.
    """

    def __init__(self, executor: Executor, still_below: float | None = None) -> None:
        if still_below is not None and not (math.isfinite(still_below) and still_below > 0):
            raise ValueError(f"still_below must be grey levels above 0, or None; got {still_below}")
        self._executor, self._still_below = executor, still_below
        self._newest: EncodedPatch | None = None
        self._uncommitted: tuple[EncodedPatch, int] | None = None
        self._ahead: tuple[Sequence[Frame], Features | None] | None = None
        self.num_still_frames = 0

    def encode(self, frames: Sequence[Frame]) -> Work[Features]:
        """Return the features of frames of one size; ``commit`` when their tokens are in the memory."""
        self._uncommitted = None
        if self._still_below is None:
            return (yield from self._encode(frames))
        size = self._executor.model.card.frames_per_temporal_patch
        patches = [frames[k : k + size] for k in range(0, len(frames), size)]
        sources, changed, newest = [], [], self._newest
        for patch in patches:
            if newest is None or self._has_changed(newest.frames, patch):
                newest = EncodedPatch(patch)
                changed.append(newest)
            sources.append(newest)
        if changed:
            encoded = yield from self._encode([frame for patch in changed for frame in patch.frames])
            for own, features in zip(changed, encoded.split([1] * len(changed)), strict=True):
                own.features = features
        self._uncommitted = (sources[-1], len(patches) - len(changed))
        return joined_features([patch.features for patch in sources if patch.features])

    def commit(self) -> None:
        """Compare later frames with those that were encoded last."""
        if self._uncommitted is not None:
            (self._newest, num_reused), self._uncommitted = self._uncommitted, None
            self.num_still_frames += num_reused

    def saved(self) -> Saved:
        """Return what was encoded last, and for how many frames it stood."""
        newest, values = self._newest, {"num_still_frames": self.num_still_frames}
        if newest is None or newest.features is None:
            return Saved(values=values)
        return Saved(
            values=values,
            parts={"newest": _saved_features(newest.features), "newest_frames": saved_frames(newest.frames)},
        )

    def restore(self, saved: Saved) -> None:
        """Compare with what another encoder encoded last.

        Raises:
            SnapshotError: what was saved is no such patch.
        """
        self.num_still_frames = saved.integer("num_still_frames")
        if "newest" not in saved.parts:
            return
        model = self._executor.model
        frames = restored_frames(saved.part("newest_frames"), model.num_tokens)
        if not 0 < len(frames) <= model.card.frames_per_temporal_patch:
            raise SnapshotError(
                f"{saved.path}newest_frames are {len(frames)}, and must be those of a temporal patch; the "
                "snapshot is damaged, take an older one"
            )
        self._newest = EncodedPatch(frames)
        # encoded again for the shape alone: beside other frames the numbers may have been rounded otherwise
        like = model.encode(model.prepare(frames))
        self._newest.features = _restored_features(saved.part("newest"), like)

    def request_ahead(self, frames: Sequence[Frame]) -> EncodeRequest | None:
        """Ask for frames that will be encoded next, to be served when there is time; see ``receive_ahead``.

        Returns:
            None where they were asked for already, or may turn out to be still.
        """
        if self._still_below is not None or (self._ahead and _are_same(self._ahead[0], frames)):
            return None
        self._ahead = (tuple(frames), None)
        return EncodeRequest.of(frames, self._executor.model)

    @property
    def num_ahead_tokens(self) -> int:
        """Tokens of what was encoded ahead, and waits for its turn."""
        return len(self._ahead[1].tokens) if self._ahead and self._ahead[1] else 0

    def receive_ahead(self, features: Features) -> None:
        """Take the result of ``request_ahead``."""
        if self._ahead is not None:
            self._ahead = (self._ahead[0], features)

    def _encode(self, frames: Sequence[Frame]) -> Work[Features]:
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[1] and _are_same(ahead[0], frames):
            return ahead[1]
        return (yield from encode(frames, self._executor.model))

    def _has_changed(self, before: Sequence[Frame], now: Sequence[Frame]) -> bool:
        assert self._still_below is not None
        pairs = [(before[min(k, len(before) - 1)].image, frame.image) for k, frame in enumerate(now)]
        return any(largest_change(old, new) >= self._still_below for old, new in pairs)


class EncodedPatch:
    """Frames of one temporal patch, and their features once they are encoded."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.features: Features | None = None


def _saved_features(features: Features) -> Saved:
    levels = {} if features.deepstack is None else {"deepstack": features.deepstack}
    return Saved(tensors={"tokens": features.tokens, **levels})


def _restored_features(saved: Saved, like: Features) -> Features:
    """Return features that were saved, of the shape of others."""

    def restored(name: str, own: Tensor) -> Tensor:
        return saved.tensor(name, dtype=own.dtype, shape=tuple(own.shape)).to(own.device, copy=True)

    return Features(
        tokens=restored("tokens", like.tokens),
        grid=like.grid,
        deepstack=None if like.deepstack is None else restored("deepstack", like.deepstack),
    )


def _are_same(some: Sequence[Frame], others: Sequence[Frame]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def largest_change(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> float:
    """Return by how many grey levels the block that changed most has changed; infinite for another size."""
    if old.shape != new.shape:
        return math.inf
    change = np.abs(old.astype(np.int16) - new).mean(axis=2, dtype=np.float32)
    height, width = change.shape
    rows, columns = np.arange(0, height, _BLOCK), np.arange(0, width, _BLOCK)
    sums = np.add.reduceat(np.add.reduceat(change, rows, axis=0), columns, axis=1)
    block_heights, block_widths = np.diff(np.append(rows, height)), np.diff(np.append(columns, width))
    return float((sums / (block_heights[:, None] * block_widths)).max())
