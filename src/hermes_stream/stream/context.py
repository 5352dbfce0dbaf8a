"""What a question reads: the memory alone, the memory and what is retrieved, or frames that were held.

A stream talks to its ``QuestionContext`` and does not know which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention_weights import Observation
from hermes_stream.cache import StreamCache
from hermes_stream.memory.state import MemoryState
from hermes_stream.retrieval.workspace import Workspace
from hermes_stream.saved import Saved
from hermes_stream.segments import Segment
from hermes_stream.stream.positions import text_positions
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextUsage:
    """What a context holds.

    Attributes:
        num_visual_tokens: of each layer, or what it will hold when a question comes.
        device_bytes: bytes of buffers beside the model.
        host_bytes: bytes of host memory held for questions to come.
        num_archived_tokens: visual tokens of each layer in host memory, from which questions retrieve.
        num_over_budget: visual tokens of the fullest layer that wait for a compression.
        retrieval_seconds: what the last question took to choose and copy what it retrieved.
    """

    num_visual_tokens: tuple[int, ...]
    device_bytes: int
    host_bytes: int = 0
    num_archived_tokens: int = 0
    num_over_budget: int = 0
    retrieval_seconds: float = 0.0


class QuestionContext(Protocol):
    """What a question reads, and how chunks get there."""

    def fold(
        self, frames: Sequence[Frame], text_tokens: int | None, took: Callable[[], object]
    ) -> Work[None]:
        """Take a chunk in: frames of one size. All or nothing.

        Args:
            frames: the chunk.
            text_tokens: of a question that waits, and its answer: a compression may wait until behind it,
                where they fit without one. None where it may not.
            took: called when the chunk is in; nothing comes between, and no Ctrl-C.
        """

    def needs_compression(self, num_new_tokens: int) -> bool:
        """Tell whether a compression was put off, and so many visual tokens do not fit before it."""

    def compress(self) -> Work[None]:
        """Do a compression that was put off, if there is one. All or nothing."""

    def prepare(self) -> Work[None]:
        """Do what the policy leaves for the moment of a question. All or nothing; safe to repeat."""

    def reading(self) -> AbstractContextManager[None]:
        """Leave no trace of the question and the answer that are read within."""

    def extend(
        self, embeddings: Float[Tensor, "tokens hidden"], observation: Observation | None = None
    ) -> Segment:
        """Reserve slots for text of a question or an answer; within ``reading``.

        Args:
            embeddings: of the text.
            observation: collects what its newest tokens attend to.

        Raises:
            CapacityError: the room for text is used up.
        """

    def beside(
        self,
        embeddings: Float[Tensor, "tokens hidden"],
        lengths: tuple[int, ...],
        newest_seconds: tuple[float | None, ...] = (),
    ) -> Segment:
        """Return texts that read the memory, and not each other, and leave nothing there; once prepared.

        Nothing is retrieved for them.

        Args:
            embeddings: of the texts, one behind the other.
            lengths: of the texts, in tokens.
            newest_seconds: for each text, how far back it reads from the newest frame; None reads all, and so
                do all where it is empty.
        """

    def state(self) -> MemoryState:
        """Return what a question reads of the video; where it retrieves, what the last one read."""

    def num_prefill_tokens(self, num_new_tokens: int) -> int:
        """Return visual tokens that are prefilled before a question that is asked now.

        Args:
            num_new_tokens: of frames that wait.
        """

    def saved(self) -> Saved:
        """Return all that was folded in; no question may be in it."""

    def restore(self, saved: Saved) -> None:
        """Hold what another context made alike did.

        Raises:
            SnapshotError: what was saved does not fit, or contradicts itself.
        """

    @property
    def max_context_tokens(self) -> int:
        """Tokens that a layer shows to a question, at most; the prefix included."""

    @property
    def usage(self) -> ContextUsage:
        """What the context holds."""


def question_segment(
    cache: StreamCache | Workspace,
    embeddings: Float[Tensor, "tokens hidden"],
    *,
    start: int | None = None,
    recall: Callable[[int, Tensor], None] | None = None,
    observation: Observation | None = None,
) -> Segment:
    """Reserve slots for text, and return it as a segment.

    Args:
        cache: is read by the text, and holds it.
        embeddings: of the text.
        start: position of its first token; None is the write clock.
        recall: see ``Segment``.
        observation: see ``Segment``.

    Raises:
        CapacityError: the room for text is used up.
    """
    start = cache.next_position if start is None else start
    positions = text_positions(cache.layout.rotary.num_axes, len(embeddings), start)
    cache.append(positions)
    return Segment(
        cache=cache, embeddings=embeddings, positions=positions, recall=recall, observation=observation
    )
