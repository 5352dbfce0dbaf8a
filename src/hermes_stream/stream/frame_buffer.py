"""The newest pictures of a stream, for policies that hold pictures instead of a memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

from hermes_stream.errors import CapacityError
from hermes_stream.models.base import VideoModel
from hermes_stream.video.frame import Frame


class FrameBuffer:
    """Holds as many of the newest pictures as their tokens have room in a budget.

    Args:
        model: tells what a picture takes.
        budget_tokens: tokens that all pictures may take.

    Raises:
        CapacityError: the budget holds no frame.
    """

    def __init__(self, model: VideoModel, budget_tokens: int) -> None:
        per_frame = model.card.tokens_per_temporal_patch
        if budget_tokens < per_frame and not model.has_dynamic_resolution:
            raise CapacityError(
                f"a budget of {budget_tokens} tokens holds no whole frame of {per_frame}; raise budget_tokens"
            )
        self._model, self._budget = model, budget_tokens
        self._pictures: deque[Frame] = deque()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures, oldest first."""
        return iter(self._pictures)

    def add(self, pictures: Sequence[Frame]) -> None:
        """Take pictures in, and forget the oldest for which there is no room; the newest frame stays."""
        self._pictures.extend(pictures)
        together = self._model.card.frames_per_temporal_patch
        while len(self._pictures) > together and self.num_tokens > self._budget:
            self._pictures.popleft()

    @property
    def num_tokens(self) -> int:
        """Tokens that the pictures will take."""
        return num_tokens(self._model, self._pictures)

    @property
    def num_bytes(self) -> int:
        """Bytes of the pictures."""
        return sum(frame.image.nbytes for frame in self._pictures)


def group_by_size(pictures: Sequence[Frame] | deque[Frame]) -> list[list[Frame]]:
    """Divide pictures where their size changes: a frame is made of pictures of one size."""
    return [list(run) for _, run in groupby(pictures, key=lambda frame: frame.image.shape)]


def num_tokens(model: VideoModel, pictures: Sequence[Frame] | deque[Frame]) -> int:
    """Return how many tokens pictures take in the memory, half-filled frames at their ends included."""
    together = model.card.frames_per_temporal_patch
    return sum(
        -(-len(run) // together) * model.num_tokens(*run[0].image.shape[:2])
        for run in group_by_size(pictures)
    )
