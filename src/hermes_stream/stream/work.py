"""Work: what a stream wants done, as a generator that asks for encodes and forwards.

Folding a chunk and answering a question are work. The generator yields a request and is sent its result: an
``Executor`` serves the requests of one stream alone, or those of many streams in shared forwards. Both see
the same requests in the same order, so that answers are the same. Work that fails or is abandoned cleans up
where it stands, as any generator does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, Pixels
from hermes_stream.segments import Segment
from hermes_stream.stream.next_tokens import NextToken
from hermes_stream.stream.stats import Stage
from hermes_stream.video.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodeRequest:
    """Run the vision tower over frames; the result is ``Features``.

    Pixels are made when it is served, and not kept: a stream that waits for its turn holds none.

    Attributes:
        frames: of one size.
        prepare: makes pixels of frames, see ``VideoModel.prepare``.
        num_patches: temporal patches of the frames.
    """

    frames: Sequence[Frame]
    prepare: Callable[[Sequence[Frame]], Pixels]
    num_patches: int

    @classmethod
    def of(cls, frames: Sequence[Frame], model: VideoModel) -> EncodeRequest:
        """Ask for frames to be encoded by a model."""
        num_patches = -(-len(frames) // model.card.frames_per_temporal_patch)
        return cls(frames=frames, prepare=model.prepare, num_patches=num_patches)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForwardRequest:
    """Run segments of one stream through the decoder, in one forward.

    Attributes:
        segments: at least one.
        stage: what the forward is part of.
        wants_logits: the result is the ``NextToken`` behind the last segment; else it is None.
        places: given, tokens of the last segment; the result is the logits of what follows each of them,
            float32 ``[places, vocabulary]``.
        advances: False lets every layer read what the first one reads; for probes alone.
    """

    segments: tuple[Segment, ...]
    stage: Stage
    wants_logits: bool = False
    places: tuple[int, ...] | None = None
    advances: bool = True

    @property
    def num_tokens(self) -> int:
        """Tokens that enter the forward."""
        return sum(len(segment.embeddings) for segment in self.segments)

    def clear_weights(self) -> None:
        """Forget the attention weights that a forward which failed half-way has added up."""
        for segment in self.segments:
            for collector in (segment.probe, segment.observation):
                if collector is not None:
                    collector.weights.zero_()


Request = EncodeRequest | ForwardRequest
Outcome = Features | NextToken | Tensor | None
"""What a request results in; see there."""
Result = TypeVar("Result")
Work = Generator[Request, Any, Result]


def encode(frames: Sequence[Frame], model: VideoModel) -> Work[Features]:
    """Have the vision tower encode frames; errors of preparing them are raised here as well."""
    features: Features = yield EncodeRequest.of(frames, model)
    return features


def forward(segments: Sequence[Segment], stage: Stage, *, advances: bool = True) -> Work[None]:
    """Have the decoder read segments of one stream, all in one forward; see ``ForwardRequest``."""
    yield ForwardRequest(segments=tuple(segments), stage=stage, advances=advances)


def next_token(segment: Segment) -> Work[NextToken]:
    """Have the decoder read a segment of text; return what follows it."""
    # one token is what an answer goes on with: no question is as short
    stage: Stage = "decode" if len(segment.embeddings) == 1 else "question"
    following: NextToken = yield ForwardRequest(segments=(segment,), stage=stage, wants_logits=True)
    return following
