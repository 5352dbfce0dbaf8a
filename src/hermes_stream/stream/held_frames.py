"""Frames that are held instead of a memory, and prefilled when a question comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby

from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention_weights import Observation
from hermes_stream.errors import CapacityError, SnapshotError
from hermes_stream.last_step import Uninterrupted
from hermes_stream.memory.state import MemoryState
from hermes_stream.models.base import VideoModel
from hermes_stream.saved import Saved
from hermes_stream.segments import Segment
from hermes_stream.stream.capacity import Capacity
from hermes_stream.stream.context import ContextUsage
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.saved_frames import restored_frames, saved_frames
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame


class FrameBuffer:
    """Holds as many of a stream's newest frames as their tokens have room in a budget.

    Args:
        model: tells how many tokens a frame takes.
        budget_tokens: tokens that all frames may take.

    Attributes:
        num_frames: frames that came so far.

    Raises:
        CapacityError: the budget holds no temporal patch.
    """

    def __init__(self, model: VideoModel, budget_tokens: int) -> None:
        patch_tokens = model.card.tokens_per_temporal_patch
        if budget_tokens < patch_tokens and not model.has_dynamic_resolution:
            raise CapacityError(
                f"a budget of {budget_tokens} tokens holds no whole frame of {patch_tokens}; raise "
                f"budget_tokens"
            )
        self._model, self._budget = model, budget_tokens
        self._frames: deque[Frame] = deque()
        self.num_frames = 0

    def __len__(self) -> int:
        """Return the number of frames held."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames held, oldest first."""
        return iter(self._frames)

    def add(self, frames: Sequence[Frame]) -> None:
        """Take frames in, and forget the oldest for which there is no room; the newest patch stays."""
        self._frames.extend(frames)
        self.num_frames += len(frames)
        while (
            len(self._frames) > self._model.card.frames_per_temporal_patch and self.num_tokens > self._budget
        ):
            self._frames.popleft()

    @property
    def num_tokens(self) -> int:
        """Tokens that the frames will take."""
        return num_tokens(self._model, self._frames)

    def saved(self) -> Saved:
        """Return the frames."""
        return Saved(values={"num_frames": self.num_frames}, parts={"frames": saved_frames(self._frames)})

    def restore(self, saved: Saved) -> None:
        """Hold another one's frames.

        Raises:
            SnapshotError: what was saved are no frames, or more than there is room for.
        """
        self._frames = deque(restored_frames(saved.part("frames"), self._model.num_tokens))
        self.num_frames = saved.integer("num_frames", least=len(self._frames))
        if len(self._frames) > self._model.card.frames_per_temporal_patch and self.num_tokens > self._budget:
            raise SnapshotError(
                f"{saved.path}frames take {self.num_tokens} tokens, and {self._budget} are held; the "
                "snapshot is damaged, take an older one"
            )

    @property
    def num_bytes(self) -> int:
        """Bytes of the frames."""
        return sum(frame.image.nbytes for frame in self._frames)


class HeldFrames:
    """A ``QuestionContext`` of the newest frames: the memory is empty until a question comes.

    Args:
        memory: takes the frames in when a question comes.
        buffer: holds them until then.
        capacity: tells how many are prefilled at once.
    """

    def __init__(self, memory: StreamMemory, buffer: FrameBuffer, capacity: Capacity) -> None:
        self._memory, self._buffer, self._capacity = memory, buffer, capacity

    def fold(
        self,
        frames: Sequence[Frame],
        text_tokens: int | None,  # noqa: ARG002
        took: Callable[[], object],
    ) -> Work[None]:
        """Hold a chunk; what an earlier question prefilled is out of date."""
        self._memory.forget_video()
        with Uninterrupted():
            self._buffer.add(frames)
            took()
        yield from ()

    def needs_compression(self, num_new_tokens: int) -> bool:  # noqa: ARG002
        """Tell that nothing was put off."""
        return False

    def compress(self) -> Work[None]:
        """Do nothing: a question's frames are compressed as they enter."""
        yield from ()

    def prepare(self) -> Work[None]:
        """Prefill the held frames, unless no frame came since the last question."""
        if not self.num_prefill_tokens(0):
            return
        held, model = list(self._buffer), self._memory.model
        next_id = (self._buffer.num_frames - len(held)) // model.card.frames_per_temporal_patch
        try:
            for part in fitting_parts(model, self._capacity, held):
                next_id += yield from self._memory.enter(part, next_id)
        except BaseException:
            self._memory.forget_video()
            raise

    def reading(self) -> AbstractContextManager[None]:
        """Leave no trace of a question and its answer."""
        return self._memory.reading()

    def extend(
        self, embeddings: Float[Tensor, "tokens hidden"], observation: Observation | None = None
    ) -> Segment:
        """Reserve slots behind the prefilled frames for text."""
        return self._memory.extend(embeddings, observation)

    def beside(
        self,
        embeddings: Float[Tensor, "tokens hidden"],
        lengths: tuple[int, ...],
        newest_seconds: tuple[float | None, ...] = (),
    ) -> Segment:
        """Return texts that read what was prefilled, and leave nothing there."""
        return self._memory.beside(embeddings, lengths, newest_seconds)

    def state(self) -> MemoryState:
        """Return what the last question read."""
        return self._memory.state()

    def num_prefill_tokens(self, num_new_tokens: int) -> int:
        """Return tokens of all held frames, unless they were prefilled since the newest came."""
        is_prepared = not num_new_tokens and max(self._memory.cache.num_visual_tokens) > 0
        return 0 if is_prepared else self._buffer.num_tokens + num_new_tokens

    def saved(self) -> Saved:
        """Return the frames, and what the last question prefilled."""
        return Saved(parts={"memory": self._memory.saved(), "buffer": self._buffer.saved()})

    def restore(self, saved: Saved) -> None:
        """Hold another one's frames."""
        self._memory.restore(saved.part("memory"))
        self._buffer.restore(saved.part("buffer"))

    @property
    def max_context_tokens(self) -> int:
        """Tokens that a layer shows to a question, at most; the prefix included."""
        return self._memory.max_context_tokens

    @property
    def usage(self) -> ContextUsage:
        """What the frames take, and will take."""
        return ContextUsage(
            num_visual_tokens=(self._buffer.num_tokens,) * self._memory.model.layout.num_layers,
            device_bytes=self._memory.cache.num_bytes,
            host_bytes=self._buffer.num_bytes,
        )


def group_by_size(frames: Sequence[Frame] | deque[Frame]) -> list[list[Frame]]:
    """Divide frames where their size changes: a temporal patch is made of frames of one size."""
    return [list(run) for _, run in groupby(frames, key=lambda frame: frame.size)]


def fitting_parts(model: VideoModel, capacity: Capacity, frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Divide frames into what is folded in at once: of one size, a chunk at most, and within its tokens."""
    patch_frames = model.card.frames_per_temporal_patch
    for same in group_by_size(frames):
        num_patches = capacity.chunk_tokens // model.num_tokens(*same[0].size)
        size = min(num_patches * patch_frames, capacity.chunk_frames)
        yield from (same[start : start + size] for start in range(0, len(same), size))


def num_tokens(model: VideoModel, frames: Sequence[Frame] | deque[Frame]) -> int:
    """Return how many tokens frames take in the memory, half-filled patches at their ends included."""
    patch_frames = model.card.frames_per_temporal_patch
    return sum(-(-len(run) // patch_frames) * model.num_tokens(*run[0].size) for run in group_by_size(frames))
