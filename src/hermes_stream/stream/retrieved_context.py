"""The memory and what a question retrieves from an archive beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention_weights import Observation
from hermes_stream.memory.state import MemoryState
from hermes_stream.retrieval.retriever import Retriever
from hermes_stream.saved import Saved
from hermes_stream.segments import Segment
from hermes_stream.stream.context import ContextUsage, question_segment
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.work import Work
from hermes_stream.video.frame import Frame


class RetrievedContext:
    """A ``QuestionContext`` of the memory and an archive; questions are read from a workspace.

    Args:
        memory: the stream's memory; a question never changes it.
        retriever: holds the archive, and lays out in the workspace what a question's queries choose.
    """

    def __init__(self, memory: StreamMemory, retriever: Retriever) -> None:
        self._memory, self._retriever = memory, retriever
        memory.retriever = retriever

    def fold(
        self,
        frames: Sequence[Frame],
        text_tokens: int | None,  # noqa: ARG002
        took: Callable[[], object],
    ) -> Work[None]:
        """Take a chunk into the memory; what it evicts is archived at once, for the question to find."""
        return self._memory.fold(frames, None, took)

    def needs_compression(self, num_new_tokens: int) -> bool:
        """Tell whether a compression was put off; none is."""
        return self._memory.needs_compression(num_new_tokens)

    def compress(self) -> Work[None]:
        """Do nothing: no compression is put off."""
        yield from ()

    def prepare(self) -> Work[None]:
        """Do nothing: what to retrieve is chosen in the question's own forward, layer by layer."""
        return self._memory.prepare()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Clear the workspace, however this ends."""
        try:
            yield
        finally:
            self._retriever.workspace.clear()

    def extend(
        self, embeddings: Float[Tensor, "tokens hidden"], observation: Observation | None = None
    ) -> Segment:
        """Reserve slots of the workspace for text; the first text of a question retrieves."""
        workspace = self._retriever.workspace
        recall = self._retriever.recall if workspace.is_clear else None
        return question_segment(workspace, embeddings, recall=recall, observation=observation)

    def beside(
        self,
        embeddings: Float[Tensor, "tokens hidden"],
        lengths: tuple[int, ...],
        newest_seconds: tuple[float | None, ...] = (),
    ) -> Segment:
        """Return texts that read the memory alone, and leave nothing there."""
        return self._memory.beside(embeddings, lengths, newest_seconds)

    def state(self) -> MemoryState:
        """Return what the last question read."""
        return self._retriever.state()

    def num_prefill_tokens(self, num_new_tokens: int) -> int:
        """Return what frames that wait take: there is nothing else to prepare."""
        return num_new_tokens

    def saved(self) -> Saved:
        """Return memory and archive; the workspace is laid out anew for each question."""
        return Saved(parts={"memory": self._memory.saved(), "archive": self._retriever.archive.saved()})

    def restore(self, saved: Saved) -> None:
        """Hold another one's memory and archive."""
        self._memory.restore(saved.part("memory"))
        self._retriever.archive.restore(saved.part("archive"))

    @property
    def max_context_tokens(self) -> int:
        """Tokens that a layer shows to a question, at most; the prefix included."""
        return self._retriever.workspace.num_context_tokens

    @property
    def usage(self) -> ContextUsage:
        """What memory, archive and workspace hold."""
        return ContextUsage(
            num_visual_tokens=self._memory.cache.num_visual_tokens,
            device_bytes=self._memory.cache.num_bytes + self._retriever.workspace.num_bytes,
            host_bytes=self._retriever.archive.num_bytes,
            num_archived_tokens=self._retriever.archive.num_tokens,
            retrieval_seconds=self._retriever.seconds,
        )
